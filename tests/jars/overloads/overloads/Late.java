package overloads;

import java.time.LocalDate;

/** An object with properties that may hold nothing, or what stands for a text. */
public class Late {
    private final boolean isEmpty;

    Late(boolean isEmpty) {
        this.isEmpty = isEmpty;
    }

    public java.util.Optional<LocalDate> getDay() {
        return isEmpty ? java.util.Optional.empty() : java.util.Optional.of(LocalDate.of(2026, 1, 31));
    }

    public java.util.OptionalDouble getScore() {
        return isEmpty ? java.util.OptionalDouble.empty() : java.util.OptionalDouble.of(0.5);
    }

    public java.math.BigDecimal getSum() {
        return isEmpty ? null : new java.math.BigDecimal("1.10");
    }
}
