package credit;

public enum Rating {
    GOOD,
    VERY_BAD
}
