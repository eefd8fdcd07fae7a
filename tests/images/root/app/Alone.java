// What a service does that runs no other program: both compilers, threads, the collector,
// files, sockets.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Executors;
import java.util.stream.LongStream;

public class Alone {
    public static void main(String[] args) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(8080), 64);
        server.createContext("/", exchange -> answer(exchange, "ok"));
        server.createContext("/alone", exchange -> {
            try {
                answer(exchange, work());
            } catch (Exception error) {
                answer(exchange, error.toString());
            }
        });
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
        System.out.println("listening");
    }

    static String work() throws Exception {
        long sum = LongStream.range(0, 3_000_000).parallel().map(n -> n * 7 % 1009).sum();
        byte[][] heap = new byte[200][];
        for (int i = 0; i < 2000; i++) heap[i % 200] = new byte[100_000];
        System.gc();
        Path folder = Files.createTempDirectory("app");
        Path file = Files.writeString(folder.resolve("a"), "hello");
        Path moved = Files.move(file, folder.resolve("b"));
        String read = Files.readString(moved);
        Files.delete(moved);
        Files.delete(folder);
        try (Socket socket = new Socket("localhost", 8080)) {
            return "sum " + sum + " heap " + heap.length + " read " + read + " port " + socket.getPort() + "\n";
        }
    }

    static void answer(HttpExchange exchange, String text) throws IOException {
        byte[] body = text.getBytes();
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }
}
