"""Seeds of keyed draws."""

from onepage.training.seeding import keyed_seed


def test_seeds_of_different_places_differ():
    assert len({keyed_seed(s, p, e) for s in range(3) for p in ("order", "flip") for e in range(3)}) == 18
