import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

/** A Java server: JIT, threads, the collector, children, sockets, mapped files. */
public class Server {
    public static void main(String[] args) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(8080), 64);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.createContext("/", exchange -> answer(exchange, "ok"));
        server.createContext("/work", exchange -> {
            try {
                answer(exchange, String.join("\n", jit(), threads(), heap(), children(), files(), sockets()));
            } catch (Exception error) {
                answer(exchange, error.toString());
            }
        });
        server.start();
        System.out.println("listening");
    }

    static void answer(HttpExchange exchange, String text) throws IOException {
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    /** Hot enough for both compilers. */
    static String jit() {
        long sum = 0;
        for (int i = 0; i < 50_000_000; i++) sum = (sum + i * 7L) % 1_000_003;
        return "jit " + sum;
    }

    static String threads() {
        return "threads " + IntStream.range(0, 64).parallel().mapToLong(n -> LongStream.range(0, 10_000).sum()).distinct().count();
    }

    static String heap() {
        int kept = 0;
        for (int i = 0; i < 2_000; i++) kept += new byte[100_000].length / 100_000;
        System.gc();
        return "heap " + kept;
    }

    static String children() throws Exception {
        Process child = new ProcessBuilder("sh", "-c", "tr a-z A-Z; exit 3").start();
        child.getOutputStream().write("child".getBytes());
        child.getOutputStream().close();
        String said = new String(child.getInputStream().readAllBytes());
        return "children " + said + " " + child.waitFor();
    }

    static String files() throws Exception {
        Path file = Files.createTempFile("java", ".data");
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            channel.map(FileChannel.MapMode.READ_WRITE, 0, 8192).put("hello".getBytes());
            channel.lock().release();
            channel.force(true);
        }
        Path moved = Files.move(file, Path.of(file + ".moved"));
        String content = new String(Files.readAllBytes(moved), 0, 5);
        Files.delete(moved);
        return "files " + content;
    }

    static String sockets() throws Exception {
        try (Socket socket = new Socket(InetAddress.getByName("localhost"), 8080)) {
            socket.getOutputStream().write("GET / HTTP/1.0\r\n\r\n".getBytes());
            return "sockets " + new String(socket.getInputStream().readNBytes(12));
        }
    }
}
