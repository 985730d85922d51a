package credit;

import java.util.List;
import java.util.Map;

/** A bean with setters, a public field, and nested ones. */
public class Customer {
    public boolean vip;
    private String name;
    private int age;
    private Integer children;
    private float[] incomes;
    private List<Address> addresses;
    private Rating rating;
    private Map<String, Double> scores;
    private byte[] photo;

    public void setName(String name) {
        this.name = name;
    }

    public void setAge(int age) {
        this.age = age;
    }

    public void setChildren(Integer children) {
        this.children = children;
    }

    public void setIncomes(float[] incomes) {
        this.incomes = incomes;
    }

    public void setAddresses(List<Address> addresses) {
        this.addresses = addresses;
    }

    public void setRating(Rating rating) {
        this.rating = rating;
    }

    public void setScores(Map<String, Double> scores) {
        this.scores = scores;
    }

    public void setPhoto(byte[] photo) {
        this.photo = photo;
    }

    public String describe() {
        StringBuilder text = new StringBuilder(name + " " + age + " " + children + " " + rating + " " + vip);
        for (float income : incomes) {
            text.append(" ").append(income);
        }
        for (Address address : addresses) {
            text.append(" ").append(address.getCity()).append("/").append(address.getPoint());
        }
        scores.keySet().stream().sorted().forEach(key -> text.append(" ").append(key).append("=").append(scores.get(key)));
        return text.append(" ").append(photo.length).toString();
    }

    public Rating rating() {
        return rating;
    }

    public int age() {
        return age;
    }
}
