package hostile;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** Does what it is asked to, and that is mostly harm. */
public class Hostile {
    private static final List<Object> HOARD = new ArrayList<>();

    public static String act(String what) throws IOException {
        switch (what) {
            case "exit":
                System.exit(7);
                return "";
            case "halt":
                Runtime.getRuntime().halt(0);
                return "";
            case "hangs in a shutdown hook":
                Runtime.getRuntime().addShutdownHook(new Thread(Hostile::forever));
                System.exit(0);
                return "";
            case "loop":
                forever();
                return "";
            case "heap":
                while (true) {
                    HOARD.add(new double[1 << 20]);
                }
            case "native":
                while (true) {
                    HOARD.add(java.nio.ByteBuffer.allocateDirect(1 << 26));
                }
            case "threads":
                for (int i = 0; i < 50; i++) {
                    new Thread(Hostile::forever).start();
                }
                return "threads";
            case "recursion":
                return act("recursion") + "!";
            case "stdin":
                return "read " + System.in.read();
            case "stdout":
                byte[] block = new byte[1 << 20];
                for (int i = 0; i < 1024; i++) {
                    System.out.write(block);
                }
                return "wrote";
            case "loader":
                Thread.currentThread().setContextClassLoader(null);
                return "changed";
            case "which loader":
                ClassLoader loader = Thread.currentThread().getContextClassLoader();
                return loader == Hostile.class.getClassLoader() ? "mine" : "not mine";
            case "raise":
                throw new IllegalStateException("as it was asked to");
            case "raise what cannot be told":
                throw new IllegalStateException() {
                    @Override
                    public String toString() {
                        throw new IllegalArgumentException("not even this");
                    }
                };
            case "missing class":
                return missing.Library.name();
            default:
                return what;
        }
    }

    private static void forever() {
        while (true) {
            try {
                Thread.sleep(1000);
            } catch (InterruptedException interrupted) {
                // it is hostile
            }
        }
    }
}
