"""torchvision beside a CPU build of torch.

torchvision's Linux wheel on PyPI is built for CUDA: beside a CPU torch its compiled operators do not load, and the
import fails where it describes two of them. Declaring their schemas first lets everything written in Python (models,
transforms, data sets) work. Where the operators are there, nothing is declared.
"""

from types import ModuleType

from torch import library

# kept for the life of the process: the schemas go when their library object goes
_LIBRARIES: list[library.Library] = []


def import_torchvision() -> ModuleType:
    """The torchvision package; its compiled operators (nms) may be absent."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        fragment = library.Library("torchvision", "FRAGMENT")
        fragment.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        fragment.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARIES.append(fragment)
        import torchvision
    return torchvision
