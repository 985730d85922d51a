package overloads;

/** Its methods are public in what extends it. */
abstract class Base<T> {
    public String inherited(double x) {
        return "inherited";
    }

    public abstract String generic(T value);
}
