package hostile;

class Hidden {
    public static String act(String what) {
        return what;
    }
}
