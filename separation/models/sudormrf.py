"""SuDoRM-RF and its improved form (Tzinis et al. 2020), Asteroid's classes."""

from dataclasses import dataclass

from separation.errors import UserError
from separation.models.architecture import (
    AsteroidConf,
    Depth,
    MaskActivation,
    Octaves,
    Samples,
    Width,
)


@dataclass(frozen=True, kw_only=True)
class SuDORMRFConf(AsteroidConf):
    """Arguments of ``asteroid.models.SuDORMRFNet`` and ``SuDORMRFImprovedNet``.

    Its kernel does not follow the sample rate by itself: set it for the rate.
    """

    n_filters: Width
    kernel_size: Samples
    bn_chan: Width
    num_blocks: Depth
    upsampling_depth: Octaves
    mask_act: MaskActivation

    def check(self) -> None:
        """The stride is half of an odd kernel."""
        if self.kernel_size < 3 or self.kernel_size % 2 == 0:
            raise UserError(
                f"model.kernel_size={self.kernel_size} does not fit {self.name}, whose stride is "
                f"half of an odd kernel; use model.kernel_size={max(3, self.kernel_size + 1)}."
            )


MODELS = {"SuDORMRFNet": SuDORMRFConf, "SuDORMRFImprovedNet": SuDORMRFConf}
