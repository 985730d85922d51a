package flat;

/** What a flower is; it counts how often any of them is asked. */
public class Verdict {
    private static int asked;
    private final String label;
    private final Double score;

    Verdict(String label, Double score) {
        this.label = label;
        this.score = score;
    }

    public String getLabel() {
        asked++;
        return label;
    }

    public Double getScore() {
        if ("silent".equals(label)) {
            throw new IllegalStateException("no score for " + label);
        }
        return score;
    }

    public int getAsked() {
        return asked;
    }

    public double[] getParts() {
        return score == null ? null : new double[] {score, -score};
    }
}
