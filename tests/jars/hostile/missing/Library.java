package missing;

/** Compiled, and left out of the jar: a library that was forgotten. */
public class Library {
    public static String name() {
        return "found";
    }
}
