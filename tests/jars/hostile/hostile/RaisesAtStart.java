package hostile;

public class RaisesAtStart {
    static final int VALUE = Integer.parseInt("no number");

    public static String act(String what) {
        return what;
    }
}
