package overloads;

/** Two numbers of which there may be none. */
public class Pair {
    private final Double a;
    private final Long b;

    Pair(Double a, Long b) {
        this.a = a;
        this.b = b;
    }

    public Double getA() {
        return a;
    }

    public Long getB() {
        return b;
    }
}
