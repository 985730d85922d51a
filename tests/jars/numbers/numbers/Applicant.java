package numbers;

/** A bean of scalars in. */
public class Applicant {
    private double income;
    private double debt;
    private long age;
    private String country;

    public void setIncome(double income) {
        this.income = income;
    }

    public void setDebt(double debt) {
        this.debt = debt;
    }

    public void setAge(long age) {
        this.age = age;
    }

    public void setCountry(String country) {
        this.country = country;
    }

    double risk() {
        return debt / (1 + income) + (age < 25 ? 0.1 : 0) + ("CH".equals(country) ? 0 : 0.05);
    }
}
