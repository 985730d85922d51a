package overloads;

/** A point that is made of numbers of several kinds; or of texts. */
public class Point {
    final String made;

    public Point(long x, long y) {
        made = "long";
    }

    public Point(double x, double y) {
        made = "double";
    }

    public Point(String x, String y) {
        made = "text";
    }
}
