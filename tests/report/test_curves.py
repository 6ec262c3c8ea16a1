"""Which curves are drawn."""

from __future__ import annotations

from framework.report.curves import metric_charts, schedule_charts, schedules

LINE = ((1.0, 1.0), (2.0, 2.0))


def names(charts: list) -> dict[str, list[str]]:  # type: ignore[type-arg]
    return {chart.title: [curve.name for curve in chart.curves] for chart in charts}


def test_a_guided_run_shows_gradient_norms_instead_of_surrogates() -> None:
    columns = ("loss/guidance.main", "guidance.main/gradient_norm", "loss/losses.a", "loss/losses.b", "loss/total")
    charts = metric_charts(dict.fromkeys((*columns, "weight/losses.a"), LINE))
    assert names(charts) == {"Gradient norm": ["main"], "Losses, unweighted": ["a", "b"]}
    assert "means nothing" in charts[1].note


def test_a_run_without_guidance_shows_its_sum_where_it_is_one() -> None:
    alone = metric_charts(
        {"loss/velocity": LINE, "loss/total": LINE, "gradient_norm": LINE, "learning_rate/unet": LINE}
    )
    assert names(alone) == {
        "Gradient norm": ["all parameters"], "Losses, unweighted": ["velocity"], "Learning rate": ["unet"]
    }  # fmt: skip
    assert names(metric_charts({"loss/a": LINE, "loss/b": LINE, "loss/total": LINE})) == {
        "Losses, unweighted": ["a", "b", "total"]
    }


def test_other_numbers_are_drawn_if_they_change() -> None:
    metrics = {"guidance.main/guidance_scale": ((1.0, 7.0), (2.0, 7.0)), "guidance.main/spread": LINE}
    assert names(metric_charts(metrics)) == {"Spread": ["main"]}


def test_schedules_are_found_anywhere_and_constants_are_not() -> None:
    tree = {
        "system": {
            "weight": {"type": "constant", "value": 2.0},
            "density_bias": {"type": "blob", "strength": 10.0},
            "terms": [{"scale": {"type": "linear", "from": 1, "to": 3}}],
            "odd": {"type": "linear", "unknown": 1},
        }
    }
    assert [path for path, _ in schedules(tree)] == [("system", "terms", "0", "scale")]


def test_a_schedule_is_drawn_with_its_corners() -> None:
    tree = {
        "a": {"x": {"type": "steps", "values": {0: 1.0, 37: 5.0}}, "y": {"type": "linear", "from": 0, "to": 2}},
        "b": {"rate": {"type": "exponential", "from": 0.1, "to": 0.001}},
    }
    both, rate = schedule_charts(tree, 1000)
    assert (both.title, rate.title) == ("a", "b")
    assert [curve.last for curve in both.curves] == ["5", "2"]
    heights = [float(pair.split(",")[1]) for pair in both.curves[0].polyline.split()]
    assert len(set(heights)) == 2
    # The jump is upright: steps 36 and 37 are less than a pixel apart.
    columns = [float(pair.split(",")[0]) for pair in both.curves[0].polyline.split()]
    jump = next(i for i in range(len(heights)) if heights[i + 1] != heights[i])
    assert columns[jump + 1] - columns[jump] < 1.0
    # An exponential is a straight line on its logarithmic axis.
    ends = [float(pair.split(",")[1]) for pair in rate.curves[0].polyline.split()]
    assert abs(ends[len(ends) // 2] - 0.5 * (ends[0] + ends[-1])) < 0.2
