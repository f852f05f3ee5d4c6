"""Makes inception-v3.safetensors, the weights that fewstep's extractor inception-v3 reads, from the published file.

    python3 metrics/convert/inception_to_safetensors.py pt_inception-2015-12-05-6726825d.pth metrics/inception-v3.safetensors

The .pth is pytorch-fid's (https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights) or torch-fidelity's, which
has the same bytes. Its SHA-256 goes into the result, beside that of the parameters themselves, so that the program can
tell whether it reads what the literature's FID was computed with. Needs torch and numpy; used once.
"""
import hashlib
import json
import struct
import sys

PUBLISHED = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


def parameters_of(state):
    """name → float32 array, without the counters that batch norms keep for training."""
    return {
        name: value.detach().cpu().numpy().astype("<f4")
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }


def parameters_hash(parameters):
    """SHA-256 over the tensors in the order of their names: name, a zero byte, float32 values."""
    digest = hashlib.sha256()
    for name in sorted(parameters, key=str.encode):
        digest.update(name.encode() + b"\0" + parameters[name].tobytes())
    return digest.hexdigest()


def write(path, parameters, metadata):
    header, position = {"__metadata__": metadata}, 0
    for name in sorted(parameters, key=str.encode):
        values = parameters[name]
        header[name] = {
            "dtype": "F32",
            "shape": list(values.shape),
            "data_offsets": [position, position + values.nbytes],
        }
        position += values.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(parameters, key=str.encode):
            file.write(parameters[name].tobytes())


def main():
    import torch

    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = sys.argv[1:]
    with open(source, "rb") as file:
        source_hash = hashlib.sha256(file.read()).hexdigest()
    if source_hash != PUBLISHED:
        print(f"{source}: SHA-256 {source_hash} is not the published file's: its distances will not be called FID")
    parameters = parameters_of(torch.load(source, map_location="cpu", weights_only=True))
    hash_of_parameters = parameters_hash(parameters)
    write(target, parameters, {"source_sha256": source_hash, "parameters_sha256": hash_of_parameters})
    print(f"{target}: {len(parameters)} tensors, SHA-256 of the parameters {hash_of_parameters}")


if __name__ == "__main__":
    main()
