package credit;

public record Point(double x, long y) {}
