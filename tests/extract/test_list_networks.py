from extract import list_networks
from extract.config import Config
from extract.networks import registry
from extract.networks.registry import NETWORKS

OWN = {"path": "/nets/own.onnx", "size": 48, "colour": "grey", "mean": [0.25], "std": [0.75], "va": "out"}


def config(own=None):
    return Config.model_validate(
        {"corpus": {"name": "c"}, "features": {"networks": ["demo_enet"]}, "networks": {"own": own} if own else {}}
    )


def test_every_fact_of_every_network_is_printed(capsys):
    list_networks.print_networks(config(OWN))
    lines = capsys.readouterr().out.splitlines()
    words = set(" ".join(lines).replace(",", " ").split())
    for network in (*NETWORKS.values(), registry.find("own", config(OWN))):
        facts = (network.name, network.size, network.colour, *network.mean, *network.std, *network.kinds)
        assert set(map(str, facts)) | set(network.classes or ()) <= words
        assert f"  {network.path or network.url}" in lines, "on a line of its own, to be copied"
        for digest in (network.blob, network.sha256, network.checkpoint_blob):
            assert digest is None or any(line.endswith(f" {digest}") for line in lines)


def test_facts_of_one_network():
    name, size, colour, mean, std, outputs, classes = list_networks.facts(NETWORKS["enet_b0_8_va_mtl"])
    assert (name, size, colour) == ("enet_b0_8_va_mtl", "224", "rgb")
    assert (mean, std) == ("0.485 0.456 0.406", "0.229 0.224 0.225")
    assert outputs == "embedding 1280, logits 8, va 2"
    assert classes == "Anger Contempt Disgust Fear Happiness Neutral Sadness Surprise"


def test_the_table_is_not_cut_where_the_output_is_narrow(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    list_networks.print_networks(config())
    assert "0.485 0.456 0.406" in capsys.readouterr().out
