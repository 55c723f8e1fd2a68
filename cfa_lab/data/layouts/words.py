"""What people call folders of normal images, of defects and of masks; in any letter case."""

NORMAL = ("good", "normal", "ok", "pass", "free")

DEFECT = (
    *("bad", "ng", "nok", "ko", "fail", "defect", "defects", "defective"),
    *("anomaly", "anomalies", "anomalous", "abnormal"),
)
"""Names that say defect and no more, so that folders inside may be its kinds."""

MASKS = ("ground_truth", "groundtruth", "masks", "mask", "gt", "labels", "label")
"""In the order in which they are looked for."""
