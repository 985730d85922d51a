package numbers;

/** A bean of scalars out. */
public class Verdict {
    private final double risk;

    Verdict(double risk) {
        this.risk = risk;
    }

    public String getLabel() {
        return risk < 0.5 ? "good" : "bad";
    }

    public double getRisk() {
        return risk;
    }
}
