"""The model: masks, sizes that do not divide, and the encoder as timm's transformer."""

import numpy as np
import pytest
import torch

from extract.config import PretrainSettings
from extract.learning import encoder
from extract.pretrain import autoencoder, images
from extract.runtime.errors import InputError

TINY = {
    "size": 32, "patch": 8, "width": 32, "depth": 2, "heads": 2, "decoder_width": 16, "decoder_depth": 1,
    "decoder_heads": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    made = autoencoder.create(PretrainSettings(**TINY))
    with torch.no_grad():
        for parameter in made.parameters():  # biases and norms that are not the identity
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made.eval()


def test_the_encoder_is_transformers_own_of_the_whole_picture(model, tmp_path):
    facts = autoencoder.describe(PretrainSettings(**TINY), "here")
    vit = autoencoder.to_encoder(model.state_dict(), facts)
    x = torch.randn(3, 3, 32, 32)
    before, model.vit.config.mask_ratio = model.vit.config.mask_ratio, 0.0
    with torch.inference_mode():
        expected = model.vit(x).last_hidden_state[:, 1:].mean(1)
        found = vit(x)
    model.vit.config.mask_ratio = before
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    path = tmp_path / "e.safetensors"
    encoder.save(path, facts, vit)
    with torch.inference_mode():
        assert torch.equal(encoder._load(path)(x), found)


def test_a_new_model_knows_where_a_patch_is():
    torch.manual_seed(0)
    new = autoencoder.create(PretrainSettings(**TINY))
    for positions in (new.vit.embeddings.position_embeddings, new.decoder.decoder_pos_embed):
        patches = positions[0, 1:]
        assert len(torch.unique(patches, dim=0)) == 16 and not positions[0, 0].any()
        nearest = torch.cdist(patches, patches).fill_diagonal_(9).argmin(1)
        rows, columns = torch.arange(16) // 4, torch.arange(16) % 4
        assert torch.equal((rows - rows[nearest]).abs() + (columns - columns[nearest]).abs(), torch.ones(16).long())
    assert new.vit.embeddings.cls_token.any() and new.decoder.mask_token.any()


def test_masks_hide_their_share_and_follow_from_seed_epoch_and_row(model):
    def masks(rows, seed=0, epoch=0):
        noise = torch.from_numpy(images.draw_views(np.array(rows), 16, seed, epoch).noise)
        return model(pixel_values=torch.zeros(len(rows), 3, 32, 32), noise=noise).mask

    one = masks([5, 6, 7])
    assert torch.equal(one.sum(1), torch.full((3,), 12.0))
    assert torch.equal(masks([7, 5])[1], one[0]), "whatever stands beside it"
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(masks([5], seed=1)[0], one[0]) and not torch.equal(masks([5], epoch=1)[0], one[0])


@pytest.mark.parametrize("normalise", [False, True])
def test_the_target_is_what_transformers_compares_with(normalise):
    torch.manual_seed(0)
    made = autoencoder.create(PretrainSettings(**TINY, normalise=normalise)).eval()
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        out = made(pixel_values=x, noise=torch.rand(2, 16))
        error = ((out.logits - autoencoder.compute_target(made, x)) ** 2).mean(-1)
    torch.testing.assert_close((error * out.mask).sum() / out.mask.sum(), out.loss)


def test_sizes_that_do_not_divide_are_one_line():
    for keys, said in (
        ({"size": 30}, "p: size = 30 is no multiple of patch = 8"),
        ({"heads": 3}, "p: width = 32 is no multiple of heads = 3"),
        ({"width": 30, "heads": 3}, "p: width = 30 is no multiple of the 4 that positions need"),
        ({"decoder_heads": 5}, "p: decoder_width = 16 is no multiple of decoder_heads = 5"),
        ({"mask": 0.99}, "p: mask = 0.99 of 16 patches leaves 0 to see"),
        ({"mask": 0.001}, None),
    ):
        settings = PretrainSettings(**TINY | keys)
        if said is None:
            autoencoder.describe(settings, "p")
            continue
        with pytest.raises(InputError) as error:
            autoencoder.describe(settings, "p")
        assert str(error.value).startswith(said) and "\n" not in str(error.value)
