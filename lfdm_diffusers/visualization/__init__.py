"""Pictures of clips and of their motion."""

from .flow_pictures import (
    flow_arrows,
    flow_in_pixels,
    flow_to_color,
    flow_wheel,
    full_colour_length,
    motion_pictures,
    occlusion_bar,
    warped_grid,
)
from .pixels import as_pixels, enlarge
from .sheets import clip_grid, clips_sheet, contact_sheet, grid_columns, motion_clip, motion_sheet, shown_frames

__all__ = [
    "as_pixels",
    "clip_grid",
    "clips_sheet",
    "contact_sheet",
    "enlarge",
    "flow_arrows",
    "flow_in_pixels",
    "flow_to_color",
    "flow_wheel",
    "full_colour_length",
    "grid_columns",
    "motion_clip",
    "motion_pictures",
    "motion_sheet",
    "occlusion_bar",
    "shown_frames",
    "warped_grid",
]
