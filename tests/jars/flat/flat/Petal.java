package flat;

public record Petal(double length, long age, String note, Color color) {
    public Petal {
        if (age < 0) {
            throw new IllegalStateException("no age: " + age);
        }
    }
}
