package hostile;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.StandardWatchEventKinds;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** Tries to reach what is not its own, by Java's library and by JNI; it tells how that ended. */
public class Escapes {
    /** Makes an attempt; or, if there are several lines, each of them, and raises what succeeded. */
    public static String act(String what) {
        if (what.contains("\n")) {
            String done = what.lines().filter(line -> act(line).startsWith("done")).collect(Collectors.joining(", "));
            throw new IllegalStateException("escaped: [" + done + "]");
        }
        String[] words = what.split("\\|");
        try {
            return "done" + attempt(words[0], words.length > 1 ? words[1] : "");
        } catch (IOException | InterruptedException | RuntimeException | UnsatisfiedLinkError failed) {
            return failed.getClass().getSimpleName() + ": " + failed.getMessage();
        }
    }

    private static String attempt(String what, String where) throws IOException, InterruptedException {
        switch (what) {
            case "read":
                return " " + new String(Files.readAllBytes(Path.of(where)));
            case "list":
                try (var files = Files.list(Path.of(where))) {
                    return " " + files.count();
                }
            case "watch":
                try (var watcher = Path.of(where).getFileSystem().newWatchService()) {
                    Path.of(where).register(watcher, StandardWatchEventKinds.ENTRY_CREATE);
                }
                return "";
            case "write":
                Files.writeString(Path.of(where), "escaped");
                return "";
            case "delete":
                Files.delete(Path.of(where));
                return "";
            case "connect":
                new Socket("127.0.0.1", Integer.parseInt(where)).close();
                return "";
            case "send":
                try (DatagramSocket socket = new DatagramSocket()) {
                    InetAddress here = InetAddress.getLoopbackAddress();
                    socket.send(new DatagramPacket(new byte[1], 1, here, Integer.parseInt(where)));
                }
                return "";
            case "listen":
                new ServerSocket(0).close();
                return "";
            case "connect to a path":
                SocketChannel.open(UnixDomainSocketAddress.of(where)).close();
                return "";
            case "send from a pair":
                Native.sendFromAPair(where);
                return "";
            case "run":
                Process run = new ProcessBuilder(where.split(" ")).start();
                run.waitFor(10, TimeUnit.SECONDS);
                return " " + run.exitValue();
            case "run for ever":
                return " " + new ProcessBuilder("setsid", "sleep", where).start().pid();
            case "bomb":
                for (int i = 0; i < 200; i++) {
                    new ProcessBuilder("sleep", where).start();
                }
                return "";
            case "kill":
                boolean isKilled = ProcessHandle.of(Long.parseLong(where)).orElseThrow().destroyForcibly();
                return isKilled ? "" : " nothing";
            case "fill":
                byte[] block = new byte[1 << 20];
                for (long left = Long.parseLong(where); left > 0; left--) {
                    Path file = Path.of(System.getProperty("java.io.tmpdir"), "filled" + left / 256);
                    Files.write(file, block, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
                }
                return "";
            case "folder":
                return " " + System.getProperty("java.io.tmpdir");
            default:
                return " nothing";
        }
    }
}
