"""fewstep's statistics of a folder of pictures beside those of pytorch-fid, clean-fid and torch-fidelity: each tool's own
decoding, resize and network, with the same weights. Development only; the weights may be any of the right names, so that
the comparison does not wait for the published ones.

    FEWSTEP_DATA=FOLDER-OF-WEIGHTS python3 tests/peers/compare_fid.py PICTURES [COUNT]

reads FEWSTEP_DATA/inception-v3.safetensors and needs pytorch-fid, clean-fid, torch-fidelity and torchvision. clean-fid's
network is a TorchScript file of the published weights; the network behind its decoding and resize is pytorch-fid's here.
"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy as np
import torch


def weights():
    data = pathlib.Path(os.environ["FEWSTEP_DATA"], "inception-v3.safetensors").read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    header.pop("__metadata__", None)
    return {
        name: torch.from_numpy(np.frombuffer(body[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"]).copy())
        for name, entry in header.items()
    }


def features(pictures, network):
    with torch.no_grad():
        return np.array([network(picture[None])[0].flatten().numpy() for picture in pictures], np.float64)


def port(state, **options):
    import pytorch_fid.inception as inception

    inception.load_state_dict_from_url = lambda *_, **__: state
    return inception.InceptionV3([3], **options).eval()


def pytorch_fid(state, files):
    import torchvision.transforms as transforms
    from pytorch_fid.fid_score import ImagePathDataset

    return features(ImagePathDataset(files, transforms.ToTensor()), port(state))


def clean_fid(state, files):
    from cleanfid.utils import ResizeDataset

    network = port(state, resize_input=False, normalize_input=False)
    return features(ResizeDataset(files, mode="clean"), lambda x: network((x - 128) / 128))


def torch_fidelity(state, files):
    from torch_fidelity.datasets import ImagesPathDataset
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save(state, file.name)
        name = "inception-v3-compat"
        network = FeatureExtractorInceptionV3(name, ["2048"], feature_extractor_weights_path=file.name).eval()
    return features(ImagesPathDataset(files), network)


def fewstep(folder, count, resize):
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        command = ["build/fewstep", "stats", folder, "--samples", str(count), "--resize", resize, "-o", file.name, "--quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with np.load(file.name) as statistics:
            return statistics["mu"], statistics["sigma"]


def main():
    folder = sys.argv[1]
    files = sorted(str(path) for path in pathlib.Path(folder).rglob("*") if path.suffix in (".png", ".jpg", ".jpeg"))
    files = files[: int(sys.argv[2])] if len(sys.argv) > 2 else files
    state = weights()
    for tool, resize in ((pytorch_fid, "torch"), (clean_fid, "clean"), (torch_fidelity, "tf1")):
        rows = tool(state, files)
        mine = fewstep(folder, len(files), resize)
        off = [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(mine, (rows.mean(0), np.cov(rows, rowvar=False)))]
        print(f"{tool.__name__}: mean {off[0]:.1e}, covariance {off[1]:.1e} of the largest element", flush=True)


main()
