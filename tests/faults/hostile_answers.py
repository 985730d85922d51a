"""What a hostile model's `predict` returns: another length, type or name, and objects that lie about themselves."""

ANSWERS = {
    "answers_fewer": "return {'y': answers['y'][1:]}",
    "answers_more": "return {'y': [*answers['y'], 1.0]}",
    "answers_nothing": "return None",
    "answers_no_field": "return {}",
    "answers_a_list": "return answers['y']",
    "answers_texts": "return {'y': ['x' for _ in answers['y']]}",
    "answers_numbers_as_texts": "return {'y': ['1.5' for _ in answers['y']]}",
    "answers_lists": "return {'y': [[1.0] for _ in answers['y']]}",
    "answers_another_name": "return {'z': answers['y']}",
    "answers_a_name_more": "return {**answers, 'z': answers['y']}",
    "answers_names_that_are_none": "return {1: answers['y'], None: answers['y'], **answers}",
    "answers_a_scalar": "return {'y': 1.0}",
    "answers_a_text": "return {'y': 'x' * len(answers['y'])}",
    "answers_bytes": "return {'y': bytes(len(answers['y']))}",
    "answers_none_among": "return {'y': [None, *answers['y'][1:]]}",
    "answers_nan": "return {'y': [float('nan') for _ in answers['y']]}",
    "answers_infinity": "return {'y': [float('-inf') for _ in answers['y']]}",
    "answers_huge_numbers": "return {'y': [10**400 for _ in answers['y']]}",
    "answers_complex_numbers": "return {'y': [1j for _ in answers['y']]}",
    "answers_a_generator": "return {'y': (one for one in answers['y'])}",
    "answers_an_endless_iterator": "import itertools\nreturn {'y': itertools.count()}",
    "answers_itself": "answers['y'][0] = answers['y']\nreturn answers",
    "answers_a_dictionary_of_its_own": """\
        class Endless(dict):
            def __iter__(self):
                while True:
                    yield "y"
            def items(self):
                while True:
                    yield "y", [1.0]
            keys = __iter__

        return Endless(answers)""",
    "lies_about_its_length": """\
        class Lying(list):
            def __len__(self):
                return 1 << 40

        return {"y": Lying(answers["y"])}""",
    "has_a_negative_length": """\
        class Negative(list):
            def __len__(self):
                return -1

        return {"y": Negative(answers["y"])}""",
    "lies_about_its_array": """\
        class Lying:
            def __len__(self):
                return len(answers["y"])
            def __array__(self, *_, **__):
                return "none"
            def tolist(self):
                return self

        return {"y": Lying()}""",
    "lies_by_its_interface": """\
        class Lying:
            __array_interface__ = {"shape": (1 << 40,), "typestr": "<f8", "data": (4096, False), "version": 3}
            def __len__(self):
                return len(answers["y"])

        return {"y": Lying()}""",
    "has_floats_that_act": """\
        import os

        class Acting(float):
            def __float__(self):
                os._exit(3)
            __index__ = __int__ = __repr__ = __str__ = __reduce__ = __float__

        return {"y": [Acting(one) for one in answers["y"]]}""",
    "pickles_that_act": """\
        import os

        class Acting:
            def __reduce__(self):
                return os.system, ("true",)

        return {"y": [Acting() for _ in answers["y"]]}""",
}
"""The end of a function that has made good `answers`: {"y": a float for each row}."""
