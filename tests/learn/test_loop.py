"""The torch loop: schedule, stopping, checkpoints, and what it leaves behind."""

import json
import zipfile
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scgx.errors import DataError, InputError, UsageError  # noqa: E402
from scgx.learn import checkpoint  # noqa: E402
from scgx.learn.loop import Settings, fit_network, rate  # noqa: E402
from scgx.progress import Report  # noqa: E402

pytestmark = pytest.mark.torch
SETTINGS = Settings(epochs=6, batch_size=16, lr=0.02, device="cpu")


class Batch(NamedTuple):
    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray


class Table:
    """A linear problem with noise, in memory."""

    def __init__(self, seed=0, n=120, val=40):
        draw = np.random.default_rng(seed)
        self.x = draw.normal(size=(n, 5)).astype(np.float32)
        self.y = (self.x @ draw.normal(size=(5, 3))).astype(np.float32)
        self.train, self.val = np.arange(n - val), np.arange(n - val, n)

    def batches(self, rows, size, *, seed, epoch, shuffle):
        if shuffle:
            rows = np.random.default_rng([seed, epoch]).permutation(rows)
        for first in range(0, len(rows), size):
            part = rows[first : first + size]
            yield Batch(part, self.x[part], self.y[part])

    def fingerprint(self):
        return f"{self.x.sum():.9f}"


def network():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return torch.nn.Sequential(
            torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(8, 3)
        )


def loss_of(net, batch, device):
    return ((net(torch.from_numpy(batch.x)) - torch.from_numpy(batch.y)) ** 2).mean()


def fit(settings=SETTINGS, data=None, net=None, **options):
    net = net or network()
    report = Report()
    history = fit_network(
        net,
        options.pop("loss", loss_of),
        data or Table(),
        settings,
        seed=3,
        report=report,
        **options,
    )
    return net, history, report


def weights(net):
    return b"".join(v.numpy().tobytes() for v in net.state_dict().values())


def interrupt_after(epochs):
    class Stops(Table):
        def batches(self, rows, size, *, seed, epoch, shuffle):
            if epoch > epochs:
                raise KeyboardInterrupt
            return super().batches(rows, size, seed=seed, epoch=epoch, shuffle=shuffle)

    return Stops()


def test_the_rate_is_first_highest_and_last_as_configured():
    settings = replace(SETTINGS, lr=0.5, warmup=0.1, final=0.02)
    rates = [rate(step, 200, settings) for step in range(200)]
    assert rates[0] == pytest.approx(0.5 / 20)
    assert max(rates) == rates[19] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.5 * 0.02)
    assert np.diff(rates[:20]).min() > 0 > np.diff(rates[19:]).max()


def test_the_log_ends_at_the_last_rate():
    _, history, _ = fit(replace(SETTINGS, patience=100))
    assert history.records[-1]["lr"] == pytest.approx(SETTINGS.lr * SETTINGS.final)


def test_it_learns_and_logs_every_epoch():
    _, history, report = fit()
    assert report.records == history.records
    assert history.records[-1]["val_loss"] < history.records[0]["val_loss"]
    assert {"epoch", "train_loss", "val_loss", "lr", "cells_per_s", "wait_share"} == set(
        history.records[0]
    )


def test_same_seed_same_weights_and_nothing_global_is_left_behind():
    before = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    first, second = weights(fit()[0]), weights(fit()[0])
    assert first == second
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == torch.are_deterministic_algorithms_enabled()


def test_the_best_weights_are_put_back_when_nothing_improves():
    data = Table()
    data.y[data.val] = -data.y[data.val]
    net, history, _ = fit(replace(SETTINGS, epochs=30, patience=2), data)
    assert len(history.records) == history.best_epoch + 2
    batch = next(data.batches(data.val, 40, seed=0, epoch=0, shuffle=False))
    assert loss_of(net, batch, None).item() == pytest.approx(history.best_loss, rel=1e-5)


def test_only_training_rows_move_the_weights():
    data = Table()
    settings = replace(SETTINGS, patience=100)
    whole = fit(settings, data)[1].records[-1]["train_loss"]
    data.y[data.val] += 1
    assert fit(settings, data)[1].records[-1]["train_loss"] == whole


def test_without_validation_rows_the_last_epoch_is_kept():
    _, history, _ = fit(data=Table(val=0))
    assert history.best_epoch == SETTINGS.epochs
    assert history.records[0]["val_loss"] is None


@pytest.mark.parametrize("epochs", [1, 3, 5])
def test_a_resumed_run_ends_bit_identical(tmp_path, epochs):
    straight, history, _ = fit()
    kept = tmp_path / "run.ckpt"
    with pytest.raises(KeyboardInterrupt):
        fit(data=interrupt_after(epochs), checkpoint=kept)
    assert [p.name for p in tmp_path.iterdir()] == ["run.ckpt"]
    resumed, again, report = fit(resume=kept, checkpoint=kept)
    assert weights(resumed) == weights(straight)
    losses = [(r["train_loss"], r["val_loss"]) for r in history.records]
    assert [(r["train_loss"], r["val_loss"]) for r in again.records] == losses
    assert len(report.records) == SETTINGS.epochs


def test_sgd_learns_too_and_its_momentum_is_resumed(tmp_path):
    settings = replace(SETTINGS, optimizer="sgd", momentum=0.5)
    straight, history, _ = fit(settings)
    assert history.records[-1]["train_loss"] < history.records[0]["train_loss"]
    assert weights(straight) != weights(fit(replace(settings, momentum=0.0))[0])
    kept = tmp_path / "run.ckpt"
    with pytest.raises(KeyboardInterrupt):
        fit(settings, data=interrupt_after(3), checkpoint=kept)
    assert weights(fit(settings, resume=kept)[0]) == weights(straight)


def test_a_checkpoint_of_other_data_or_settings_is_refused(tmp_path):
    kept = tmp_path / "run.ckpt"
    fit(checkpoint=kept)
    with pytest.raises(DataError, match="other data or settings"):
        fit(replace(SETTINGS, lr=0.01), resume=kept)
    with pytest.raises(DataError, match="other data or settings"):
        fit(data=Table(seed=9), resume=kept)


def test_a_checkpoint_holds_no_pickle_and_something_else_is_no_checkpoint(tmp_path):
    kept = tmp_path / "run.ckpt"
    fit(checkpoint=kept)
    with zipfile.ZipFile(kept) as archive:
        names = archive.namelist()
        assert all(name.endswith((".safetensors", "checkpoint.json")) for name in names)
        assert json.loads(archive.read("checkpoint.json"))["step"] == 6 * 5
    with pytest.raises(InputError, match="no checkpoint to go on from"):
        fit(resume=tmp_path / "none.ckpt")
    kept.write_bytes(b"nothing")
    with pytest.raises(InputError, match="is not a checkpoint"):
        fit(resume=kept)


def test_a_full_disk_keeps_the_old_checkpoint_and_training_goes_on(tmp_path, monkeypatch, capsys):
    kept = tmp_path / "run.ckpt"
    kept.write_bytes(b"old")

    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "replace", full)
    _, history, _ = fit(checkpoint=kept)
    assert len(history.records) == SETTINGS.epochs
    assert kept.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["run.ckpt"]
    assert "No space left" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_stops_and_names_epoch_and_batch():
    data = Table()
    data.x[data.train] = np.nan
    with pytest.raises(DataError, match="nan at epoch 1, batch 1"):
        fit(data=data)


def test_a_validation_loss_that_is_not_finite_keeps_no_first_weights():
    data = Table()
    data.x[data.val] = np.nan
    with pytest.raises(DataError, match="nan at epoch 1, on validation rows"):
        fit(data=data)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without cuda")
def test_auto_falls_back_with_a_line_and_explicit_cuda_is_refused(capsys):
    fit(replace(SETTINGS, device="auto"))
    assert capsys.readouterr().err == "scgx: training on the cpu\n"
    with pytest.raises(DataError, match="no usable cuda"):
        fit(replace(SETTINGS, device="cuda"))


def test_no_epochs_is_a_usage_error():
    with pytest.raises(UsageError):
        fit(replace(SETTINGS, epochs=0))


def test_short_products_change_the_curve_little_and_nothing_global_is_left_behind():
    before = torch.get_float32_matmul_precision()
    whole = fit(replace(SETTINGS, patience=100))[1].records
    for precision in ("bf16", "tf32"):
        short = fit(replace(SETTINGS, patience=100, precision=precision))[1].records
        for one, other in zip(whole, short, strict=True):
            assert other["train_loss"] == pytest.approx(one["train_loss"], rel=0.02)
    assert short == [{**r, **{k: s[k] for k in ("cells_per_s", "wait_share")}}
                     for r, s in zip(whole, short)]  # fmt: skip
    assert torch.get_float32_matmul_precision() == before
