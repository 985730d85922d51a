package credit;

/** Made by its only constructor. */
public class Address {
    private final String city;
    private final Point point;

    public Address(String city, Point point) {
        this.city = city;
        this.point = point;
    }

    public String getCity() {
        return city;
    }

    public Point getPoint() {
        return point;
    }
}
