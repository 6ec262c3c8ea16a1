from __future__ import annotations

import itertools

import pytest
import torch

from framework.core.errors import UserError
from framework.diffusion.conditions import Conditions
from framework.diffusion.oracle import ANY_BACKGROUND, OraclePrior
from framework.diffusion.oracle_scenes import OracleScenes, parse_known
from framework.diffusion.sampling import sample
from framework.structures.views import Views
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import build
from framework.toybox.tracing import Lights
from framework.toybox.views import ViewDistribution

CPU = torch.device("cpu")
SIZE = 16


@pytest.fixture(scope="module")
def oracle():
    """A small oracle, shared because rendering takes a second."""
    return OraclePrior(OraclePrior.Config(views=64, image_size=SIZE), device=CPU)


def _conditions(prior, prompts, views=None, camera=None):
    """One condition for each prompt."""
    index = torch.arange(len(prompts))[None]
    return Conditions(prior.encode_text(prompts)[index], torch.ones(1, len(prompts)), views, camera)


def _picture(prior, prompt, *, azimuth_deg, background=(1.0, 1.0, 1.0)):
    """The named scene in plain light, (1, H, W, 3), and the view."""
    angles = torch.deg2rad(torch.tensor([[azimuth_deg], [15.0]]))
    views = Views.orbit(angles[0], angles[1], torch.tensor([2.6]), torch.tensor([0.78]), height=SIZE, width=SIZE)
    pack = ScenePack.from_scenes([prior.scene(prompt)])
    lights = Lights(views.lights.positions.contiguous(), views.lights.ambient)
    image = render(pack, cameras=views.cameras, lights=lights, background=torch.tensor([background])).rgb
    return image, views


def _noisy(prior, image, timestep):
    clean = prior.encode(image)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return prior.schedule.add_noise(clean, noise, torch.tensor([timestep] * len(clean))).noisy


@pytest.mark.parametrize("background", [(1.0, 1.0, 1.0), (0.1, 0.7, 0.3)])
def test_a_told_camera_shows_the_one_image_from_there_on_the_background_at_hand(oracle, background):
    image, views = _picture(oracle, "a red cube", azimuth_deg=30.0, background=background)
    told = _conditions(oracle, ["a red cube"], views, torch.tensor([[True]]))
    prediction = oracle.predict(_noisy(oracle, image, 700), torch.tensor([700]), told)
    assert (oracle.decode(prediction.sample[0]) - image).abs().max() < 0.08


def test_the_background_may_be_given(oracle):
    prior = OraclePrior(OraclePrior.Config(views=8, image_size=SIZE, background=(0.2, 0.4, 0.6)), device=CPU)
    conditions = _conditions(prior, ["a red cube"])
    noisy = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    corner = prior.decode(prior.predict(noisy, torch.tensor([999]), conditions).sample[0])[0, 0, 0]
    assert torch.allclose(corner, torch.tensor([0.2, 0.4, 0.6]), atol=1e-3)


def test_view_words_choose_among_the_renders(oracle):
    image, _ = _picture(oracle, "a snowman", azimuth_deg=180.0)
    conditions = _conditions(oracle, ["a snowman, front view", "a snowman, back view"])
    noisy = _noisy(oracle, image.repeat(2, 1, 1, 1), 400)
    denoised = oracle.decode(oracle.predict(noisy, torch.tensor([400, 400]), conditions).sample[0])
    error = (denoised - image).square().mean((1, 2, 3))
    assert error[1] < error[0]


def test_the_words_split_the_renders_without_rest():
    scenes = OracleScenes(
        num_views=64,
        image_size=4,
        distribution=ViewDistribution(),
        background=ANY_BACKGROUND,
        nuisance_seed=None,
        seed=0,
        device=CPU,
    )
    named = scenes.named(parse_known("a snowman"))
    rows = sorted((rows.start, rows.stop) for rows in named.rows.values())
    assert rows[0][0] == 0
    assert rows[-1][1] == len(named.bank) == 64
    assert all(first[1] == second[0] for first, second in itertools.pairwise(rows))


def test_samples_of_several_prompts_do_not_meet(oracle):
    prompts = ["a snowman, front view", "a red cube", ""]
    conditions = _conditions(oracle, prompts)
    noisy = torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    timestep = torch.tensor([300, 600, 900])
    together = oracle.predict(noisy, timestep, conditions).raw
    for item, prompt in enumerate(prompts):
        alone = oracle.predict(noisy[[item]], timestep[[item]], _conditions(oracle, [prompt]))
        assert torch.allclose(together[:, [item]], alone.raw, atol=1e-5)


def test_samples_drawn_from_it_are_renders_of_the_scene(oracle):
    drawn = sample(
        oracle, _conditions(oracle, ["a snowman"] * 2), num_steps=30, generator=torch.Generator().manual_seed(0)
    )
    timestep = torch.tensor([20, 20])
    again = oracle.predict(drawn, timestep, _conditions(oracle, ["a snowman"] * 2)).sample[0]
    assert (again - drawn).abs().max() < 0.05


def test_the_unconditional_mixture_knows_no_camera_and_is_not_the_named_scene(oracle):
    image, views = _picture(oracle, "a snowman", azimuth_deg=0.0)
    noisy, timestep = _noisy(oracle, image, 900), torch.tensor([900])
    present = torch.tensor([[True]])
    mixture = oracle.predict(noisy, timestep, _conditions(oracle, [""], views, present)).sample
    assert torch.equal(mixture, oracle.predict(noisy, timestep, _conditions(oracle, [""])).sample)
    named = oracle.predict(noisy, timestep, _conditions(oracle, ["a snowman"])).sample
    assert (mixture - named).abs().max() > 0.1


def test_what_the_prompt_leaves_open_is_in_the_middle_or_drawn_by_its_seed(oracle):
    scene = oracle.scene("a snowman")
    assert repr(scene.parts) == repr(build(scene.spec, [0.5] * scene.spec.num_nuisances).parts)
    drawn = OraclePrior(OraclePrior.Config(nuisance_seed=1), device=CPU)
    assert repr(drawn.scene("a snowman").parts) != repr(scene.parts)
    assert repr(drawn.scene("a snowman").parts) == repr(drawn.scene("a snowman, side view").parts)


def test_unknown_words_are_refused_by_name(oracle):
    with pytest.raises(UserError, match="does not know 'quixotic' in the prompt 'a quixotic cube'"):
        oracle.encode_text(["a quixotic cube"])


def test_known_words_without_a_scene_are_refused(oracle):
    with pytest.raises(UserError, match="knows the words of 'red red', but has no such scene"):
        oracle.encode_text(["red red"])


def test_too_few_renders_for_a_view_are_reported():
    prior = OraclePrior(OraclePrior.Config(views=4, image_size=4), device=CPU)
    views = [f"a red cube, {side} view" for side in ("front", "side", "back", "overhead")]
    noisy, timestep = torch.zeros(4, 3, 4, 4), torch.tensor([500] * 4)
    with pytest.raises(UserError, match=r"None of the oracle's 4 renders is a .* view. Set `views` to more"):
        prior.predict(noisy, timestep, _conditions(prior, views))


def test_equal_configs_render_equal_banks():
    noisy, timestep = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)), torch.tensor([500])
    first, second = (OraclePrior(OraclePrior.Config(views=8, image_size=SIZE), device=CPU) for _ in range(2))
    raw = [prior.predict(noisy, timestep, _conditions(prior, ["a red cube"])).raw for prior in (first, second)]
    assert torch.equal(*raw)


@pytest.mark.parametrize("wrong", [{"views": 1}, {"image_size": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError):
        OraclePrior.Config(**wrong)
