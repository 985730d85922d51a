package credit;

import java.util.List;
import java.util.Map;

/** A bean with getters. */
public class Decision {
    private final Customer customer;

    Decision(Customer customer) {
        this.customer = customer;
    }

    public String getText() {
        return customer.describe();
    }

    public boolean isGranted() {
        return customer.rating() == Rating.GOOD;
    }

    public Rating getRating() {
        return customer.rating();
    }

    public double[] getTerms() {
        return new double[] {customer.age(), 0.5};
    }

    public List<Point> getPoints() {
        return List.of(new Point(1.5, 2));
    }

    public Map<String, Integer> getCounts() {
        return Map.of("age", customer.age());
    }

    public byte[] getToken() {
        return new byte[] {1, -1};
    }

    public Integer getNothing() {
        return null;
    }
}
