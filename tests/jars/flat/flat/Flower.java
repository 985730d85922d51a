package flat;

/** A bean with setters and a public field; it cannot be too long. */
public class Flower {
    public String note;
    private double length;
    private Integer age;
    private float[] widths;

    public void setLength(double length) {
        if (length > 100) {
            throw new IllegalArgumentException("too long: " + length);
        }
        this.length = length;
    }

    public void setAge(Integer age) {
        this.age = age;
    }

    public void setWidths(float[] widths) {
        this.widths = widths;
    }

    @Override
    public String toString() {
        return note + " " + length + " " + age + " " + java.util.Arrays.toString(widths);
    }
}
