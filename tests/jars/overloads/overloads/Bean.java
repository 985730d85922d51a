package overloads;

import java.math.BigDecimal;
import java.util.Optional;

/** A bean with several setters of a property. */
public class Bean {
    private String made = "";

    public void setX(Object x) {
        made += "Object ";
    }

    public void setX(long x) {
        made += "long ";
    }

    public void setX(BigDecimal x) {
        made += "BigDecimal ";
    }

    public void setX(double x) {
        made += "double ";
    }

    public void setNote(Optional<String> note) {
        made += note;
    }

    @Override
    public String toString() {
        return made;
    }
}
