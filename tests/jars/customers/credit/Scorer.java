package credit;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Objects in, objects out; one Scorer for a generation. */
public class Scorer {
    private int calls;

    public Decision score(Customer customer) {
        return new Decision(customer);
    }

    public List<Decision> scoreAll(List<Customer> customers) {
        List<Decision> decisions = new ArrayList<>();
        customers.forEach(customer -> decisions.add(new Decision(customer)));
        return decisions;
    }

    public Decision[] scoreArray(Customer[] customers) {
        return scoreAll(List.of(customers)).toArray(new Decision[0]);
    }

    /** What each value is, in Java. */
    public Map<String, Object> types(Map<String, Object> row) {
        StringBuilder text = new StringBuilder();
        new TreeMap<>(row).forEach((key, value) ->
                text.append(key).append(":").append(value == null ? "null" : value.getClass().getSimpleName()).append(" "));
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("Text", text.toString().trim());
        answer.put("granted", true);
        answer.put("rating", "very_bad");
        answer.put("terms", List.of(1, 2.5f));
        answer.put("points", List.of(Map.of("x", 1, "y", 2L), List.of(3.5, 4)));
        answer.put("counts", Map.of());
        answer.put("token", new byte[0]);
        return answer;
    }

    public int calls() {
        return ++calls;
    }
}
