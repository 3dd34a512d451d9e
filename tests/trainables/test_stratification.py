import numpy as np

from trainables.stratification import assign_units


def test_units_stay_whole_and_every_class_is_in_every_part_near_its_share() -> None:
    rng = np.random.default_rng(0)
    units = [f"u{k}" for k in rng.integers(0, 80, 1000)]
    labels = rng.choice(3, 1000, p=[0.6, 0.3, 0.1])
    parts = assign_units(labels, units, [0.7, 0.15, 0.15], 0)
    for unit in set(units):
        assert len({p for p, u in zip(parts.tolist(), units, strict=True) if u == unit}) == 1
    for k in range(3):
        shares = np.bincount(parts[labels == k], minlength=3) / (labels == k).sum()
        assert np.abs(shares - [0.7, 0.15, 0.15]).max() < 0.05


def test_a_rare_class_with_as_many_units_as_parts_is_in_every_part() -> None:
    labels = np.array([0] * 90 + [1] * 6)
    units = [f"a{k // 3}" for k in range(90)] + [f"b{k // 2}" for k in range(6)]
    parts = assign_units(labels, units, [0.7, 0.15, 0.15], 0)
    assert set(parts[labels == 1].tolist()) == {0, 1, 2}


def test_the_parts_depend_on_the_seed_alone() -> None:
    labels, units = np.arange(60) % 2, [f"u{k // 2}" for k in range(60)]
    first = assign_units(labels, units, [0.5, 0.5], 1)
    assert (assign_units(labels, units, [0.5, 0.5], 1) == first).all()
    assert not (assign_units(labels, units, [0.5, 0.5], 2) == first).all()
