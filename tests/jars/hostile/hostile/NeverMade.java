package hostile;

public class NeverMade {
    private final String prefix;

    public NeverMade(String prefix) {
        this.prefix = prefix;
    }

    public String act(String what) {
        return prefix + what;
    }
}
