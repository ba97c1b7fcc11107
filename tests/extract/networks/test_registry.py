import pytest

from extract.config import Config, NetworkSettings
from extract.networks import registry
from extract.runtime.errors import InputError

OWN = {"path": "net.onnx", "size": 64, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "logits": "out"}


def config(name: str = "own", **changes: object) -> Config:
    return Config.model_validate(
        {"corpus": {"name": "c"}, "features": {"networks": [name]}, "networks": {name: OWN | changes}}
    )


def test_rows_agree_with_themselves():
    for name, row in registry.NETWORKS.items():
        assert row.name == name and len(row.mean) == len(row.std) == (1 if row.colour == "grey" else 3)
        assert row.blob or row.sha256, f"{name}: a network without a hash cannot be verified"
        assert ("va" in row.kinds) == ("mt" in name)


def test_the_published_facts_of_the_two_networks_of_the_recipe():
    vgaf, mtl = registry.NETWORKS["enet_b0_8_best_vgaf"], registry.NETWORKS["enet_b0_8_va_mtl"]
    assert (vgaf.size, vgaf.dim, vgaf.kinds) == (224, 1280, ("embedding", "logits"))
    assert (mtl.size, mtl.dim, mtl.kinds) == (224, 1280, ("embedding", "logits", "va"))
    assert vgaf.classes == mtl.classes and vgaf.classes[5] == "Neutral"


def test_a_network_of_the_users_own_is_found_first_in_the_config():
    own = registry.find("own", config())
    assert (own.size, own.kinds, own.classifier) == (64, ("logits",), False)
    assert isinstance(config().networks["own"], NetworkSettings)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mean": [0.5]}, r"networks\.own\.mean: found \[0\.5\], expected 3 numbers"),
        ({"std": [1, 1, 0]}, r"networks\.own\.std: .*positive"),
        ({"colour": "grey"}, r"expected 1 numbers for colour 'grey'"),
        ({"logits": None}, r"name at least one output"),
    ],
)
def test_facts_that_contradict_each_other_are_named(changes, said):
    with pytest.raises(InputError, match=said):
        registry.find("own", config(**changes))


def test_an_unknown_network_lists_the_known_ones():
    with pytest.raises(InputError, match=r"no network 'enet'; known: .*enet_b0_8_va_mtl.*own.*\[networks\.enet\]"):
        registry.find("enet", config())


def test_a_name_of_the_projects_own_cannot_be_taken():
    with pytest.raises(InputError, match="the project has a network of that name"):
        registry.find("demo_enet", config("demo_enet"))
