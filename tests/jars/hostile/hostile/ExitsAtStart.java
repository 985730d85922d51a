package hostile;

public class ExitsAtStart {
    static {
        System.exit(0);
    }

    public static String act(String what) {
        return what;
    }
}
