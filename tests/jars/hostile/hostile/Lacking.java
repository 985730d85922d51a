package hostile;

/** Its signature needs a class that the jar lacks. */
public class Lacking {
    public static missing.Library act(String what) {
        return null;
    }
}
