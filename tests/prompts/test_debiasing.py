"""Words that contradict a view, as a masked language model sees it."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizer

from framework.core.errors import ConfigError, UserError
from framework.core.step import StepInfo
from framework.core.yaml_tree import Tree
from framework.prompts.debiasing import Debiasing, MaskedLanguageModel, debiased_prompts
from framework.prompts.view_dependent import VIEW_WORDS, ViewDependent

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["a", "view", "of", "smiling", "dog", *VIEW_WORDS]


def write_bert(folder: Path, *, words: list[str] = WORDS, kind: type = BertForMaskedLM, seed: int = 3) -> Path:
    """A BERT with random weights that knows a few words."""
    symbols = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    tokenizer = BertTokenizer(vocab={symbol: index for index, symbol in enumerate(symbols)})
    config = BertConfig(
        vocab_size=len(symbols),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    model = kind(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(2.0 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def guesses(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, list[float]]], Debiasing]:
    """Settings whose model answers as it is told, by the prompt."""

    def pretend(shares: dict[str, list[float]]) -> Debiasing:
        monkeypatch.setattr(MaskedLanguageModel, "__init__", lambda self, path: None)
        monkeypatch.setattr(
            MaskedLanguageModel,
            "log_shares",
            lambda self, prompts, views: torch.tensor([shares[p] for p in prompts]).log(),
        )
        return Debiasing(model="bert")

    return pretend


def test_a_word_is_left_out_where_it_lowers_the_probability_of_the_view(guesses, caplog) -> None:
    settings = guesses(
        {"smiling dog": [0.7, 0.1, 0.1, 0.1], "dog": [0.4, 0.2, 0.3, 0.1], "smiling": [0.7, 0.11, 0.1, 0.09]}
    )
    with caplog.at_level(logging.INFO):
        prompts = debiased_prompts("smiling dog", VIEW_WORDS, settings)
    # Against the back speaks "smiling" alone; against the side both words, so that nothing would be left.
    assert prompts == ["smiling dog", "smiling dog", "dog", "smiling dog"]
    assert "For the back view the prompt is 'dog', without 'smiling'." in caplog.text
    assert "Every word of the prompt speaks against the side view" in caplog.text


def test_the_threshold_and_the_words_that_may_go_are_settings(guesses) -> None:
    shares = {"a smiling dog": [0.25, 0.25, 0.2, 0.3]}
    shares |= {rest: [0.25, 0.2, 0.25, 0.3] for rest in ("smiling dog", "a dog", "a smiling")}
    guesses(shares)
    listed = Debiasing(model="bert", words=["Smiling"])
    assert debiased_prompts("a smiling dog", VIEW_WORDS, listed)[2] == "a dog"
    lenient = Debiasing(model="bert", words=["Smiling"], threshold=0.79)
    assert debiased_prompts("a smiling dog", VIEW_WORDS, lenient)[2] == "a smiling dog"
    with pytest.raises(ValueError, match="threshold: expected a share"):
        Debiasing(model="bert", threshold=1.5)


@torch.no_grad()
def test_shares_are_those_of_the_view_words_behind_the_mask(bert: Path) -> None:
    prompts = ["a smiling dog", "a dog"]
    shares = MaskedLanguageModel(str(bert)).log_shares(prompts, VIEW_WORDS)
    model, tokenizer = BertForMaskedLM.from_pretrained(bert).eval(), BertTokenizer.from_pretrained(bert)
    for row, prompt in zip(shares, prompts, strict=True):  # one by one, without padding
        ids = tokenizer(f"a [MASK] view of {prompt}", return_tensors="pt").input_ids
        logs = model(ids).logits[0, 2].log_softmax(dim=-1)
        views = torch.stack([logs[tokenizer.convert_tokens_to_ids(word)] for word in VIEW_WORDS])
        assert torch.allclose(row, views - views.logsumexp(dim=0), atol=1e-3)


def test_each_view_is_asked_about_with_its_own_prompt(bert: Path, prior, views_at) -> None:
    settings = Debiasing(model=str(bert))
    expected = debiased_prompts("a smiling dog", VIEW_WORDS, settings)
    assert len(set(expected)) > 1, "the tiny model sees no contradiction at all"
    conditioner = ViewDependent(ViewDependent.Config(debiasing=settings), prior=prior, prompt="a smiling dog")
    conditions = conditioner(views_at([0.0, 90.0, 180.0, 0.0], [0.0, 0.0, 0.0, 80.0]), StepInfo(0, 10))
    texts = [f"{text}, {view} view" for text, view in zip(expected, VIEW_WORDS, strict=True)]
    assert prior.texts_of(conditions.text)[0] == texts


def test_nothing_is_left_out_without_a_model_and_of_an_empty_prompt() -> None:
    assert debiased_prompts("a dog", VIEW_WORDS, Debiasing()) == ["a dog"] * 4
    assert debiased_prompts("", VIEW_WORDS, Debiasing(model="/nowhere")) == [""] * 4


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(UserError, match=r"debiasing.model: there is no folder .* at '/nowhere'.*leave debiasing out"):
        debiased_prompts("a dog", VIEW_WORDS, Debiasing(model="/nowhere"))


def test_a_folder_with_something_else_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the masked language model at .* could not be loaded: "):
        MaskedLanguageModel(str(tmp_path))


def test_a_model_without_its_head_does_not_guess_at_random(tmp_path: Path) -> None:
    folder = write_bert(tmp_path, kind=BertModel)
    with pytest.raises(UserError, match=r"lacks .* tensors, such as 'cls.predictions"):
        MaskedLanguageModel(str(folder))


def test_a_vocabulary_without_the_view_words_is_refused(tmp_path: Path) -> None:
    folder = write_bert(tmp_path, words=[word for word in WORDS if word != "overhead"])
    with pytest.raises(UserError, match="does not know 'overhead' as one word"):
        debiased_prompts("a dog", VIEW_WORDS, Debiasing(model=str(folder)))


def test_a_prompt_that_is_too_long_for_the_model_is_refused(bert: Path) -> None:
    with pytest.raises(UserError, match="reads 16 tokens at once, and the prompt has 26"):
        debiased_prompts("a dog " * 10, VIEW_WORDS, Debiasing(model=str(bert)))


def test_it_is_a_setting_of_the_prompts() -> None:
    from framework.core.config import parse

    config = parse(ViewDependent.Config, Tree({"debiasing": {"model": "m", "words": ["smiling"]}}))
    assert config.debiasing == Debiasing(model="m", words=["smiling"])
    with pytest.raises(ConfigError, match=r"debiasing.modle: unknown key 'modle'.*'model'"):
        parse(ViewDependent.Config, Tree({"debiasing": {"modle": "m"}}))


def test_transformers_is_imported_when_it_is_used() -> None:
    code = "import sys, framework.prompts.view_dependent; print([n for n in ('transformers',) if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.stdout == "[]\n", result.stdout + result.stderr
