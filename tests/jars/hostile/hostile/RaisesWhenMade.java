package hostile;

public class RaisesWhenMade {
    public RaisesWhenMade() {
        throw new IllegalStateException("there is no model file");
    }

    public String act(String what) {
        return what;
    }
}
