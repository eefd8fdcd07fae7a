// A service of a JVM's: pages, threads and the collector, files, a child, names.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.stream.LongStream;
import java.util.zip.GZIPOutputStream;

public class Service {
    public static void main(String[] words) throws IOException {
        Path state = Path.of(words[1]);
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(words[0])), 64);
        page(server, "/", () -> "page\n");
        page(server, "/threads", () -> {
            byte[][] heap = new byte[100][];
            for (int i = 0; i < 1000; i++) heap[i % 100] = new byte[100_000];
            System.gc();
            return LongStream.range(0, 3_000_000).parallel().map(n -> n * 7 % 1009).sum() + " " + heap.length;
        });
        page(server, "/file", () -> {
            Path made = Files.createTempFile(state, "new", ".txt");
            Files.writeString(made, "x".repeat(9999));
            Files.move(made, state.resolve("file"), StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
            return Files.size(state.resolve("file")) + "\n";
        });
        page(server, "/gzip", () -> {
            var bytes = new java.io.ByteArrayOutputStream();
            try (var packed = new GZIPOutputStream(bytes)) {
                packed.write("x".repeat(99_999).getBytes());
            }
            return bytes.size() + "\n";
        });
        page(server, "/child", () -> {
            Process child = new ProcessBuilder("/usr/bin/uname", "-s").start();
            return new String(child.getInputStream().readAllBytes()) + child.waitFor();
        });
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
    }

    static void page(HttpServer server, String path, Callable<String> body) {
        server.createContext(path, exchange -> {
            try {
                answer(exchange, 200, body.call());
            } catch (Exception error) {
                answer(exchange, 500, error.toString());
            }
        });
    }

    static void answer(HttpExchange exchange, int code, String text) throws IOException {
        byte[] body = text.getBytes();
        exchange.sendResponseHeaders(code, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }
}
