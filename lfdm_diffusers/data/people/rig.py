"""Poses of the whole figure: angles of joints and places of feet into transforms of bones.

Angles are degrees, named as people move: an arm is raised forwards and sideways from hanging, turned about itself, bent. Feet
are places on the ground, and legs reach for them, so that what stands does not slide. All is reckoned for the left side; the
right one is its mirror image.
"""

from __future__ import annotations

import numpy as np

SIDES = ("Left", "Right")
# Limits of each angle (degrees) and length (in lengths of a leg).
ARM = {
    "armForward": (-50, 175), "armSide": (-45, 175), "armTwist": (-80, 95), "elbow": (0, 145), "palm": (-80, 90), "wrist": (-88, 60),
    "fist": (0, 85), "shoulder": (-5, 30),
}  # fmt: skip
LEG = {
    "footOut": (-0.4, 1.0),
    "footForward": (-0.9, 1.0),
    "footUp": (0, 1.0),
    "toeUp": (-60, 60),
    "footTurn": (-20, 50),
}
TRUNK = {
    "lean": (-25, 60), "bend": (-35, 35), "twist": (-45, 45), "hipTilt": (-15, 60), "hipTurn": (-40, 40), "hipsOut": (-0.4, 0.4),
    "hipsForward": (-0.5, 0.5), "hipsDown": (0, 0.62), "jump": (0, 0.4), "headTurn": (-60, 60), "headDown": (-35, 50),
    "headLean": (-25, 25),
}  # fmt: skip
LIMITS = {name + side: limit for side in SIDES for name, limit in (ARM | LEG).items()} | TRUNK
PARAMETERS = tuple(LIMITS)
MIRROR = np.diag([-1.0, 1.0, 1.0])
STRAIGHT = 0.992  # of a leg's length: a knee is never locked
SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")


def about(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Rotation matrix about an axis (3,), by the right hand (Rodrigues)."""
    x, y, z = axis / max(np.linalg.norm(axis), 1e-9)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rotation matrix of degrees: to the figure's left, down, to its right, as `body.turn`."""
    return about(np.array([0.0, 0, 1]), yaw) @ about(np.array([1.0, 0, 0]), pitch) @ about(np.array([0.0, 1, 0]), roll)


def frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Columns (3, 3): first, second made square to it, and their cross product."""
    first = first / np.linalg.norm(first)
    second = second - first * (first @ second)
    second = second / max(np.linalg.norm(second), 1e-9)
    return np.column_stack([first, second, np.cross(first, second)])


class Rig:
    """The joints of one person at rest.

    Args:
        bones: (J, 3) heads of bones at rest; names, parents (J).
        ground: height of the soles at rest.
    """

    def __init__(self, bones: np.ndarray, names: tuple[str, ...], parents: tuple[int, ...], ground: float):
        self.bones, self.names, self.parents, self.ground = bones, names, parents, ground
        self.number = {name: i for i, name in enumerate(names)}
        at = self.at
        self.leg = float(
            np.linalg.norm(at("lowerleg01.L") - at("upperleg01.L")) + np.linalg.norm(at("foot.L") - at("lowerleg01.L"))
        )
        self.hips = np.array([abs(at("upperleg01.L")[0]), at("upperleg01.L")[1]])

    def at(self, name: str) -> np.ndarray:
        return self.bones[self.number[name]]

    def transforms(self, pose: dict[str, float]) -> np.ndarray:
        """(J, 3, 4) of all bones in a pose of `PARAMETERS`; the soles of standing feet are at height 0, the hips above the origin."""
        turns: dict[str, np.ndarray] = {}
        pelvis = turned(pose["hipTurn"], pose["hipTilt"], 0.0)
        turns["root"] = pelvis
        for k, name in enumerate(SPINE, 1):
            turns[name] = pelvis @ turned(pose["twist"] * k / 5, pose["lean"] * k / 5, pose["bend"] * k / 5)
        trunk = turns["spine01"]
        head = trunk @ turned(pose["headTurn"], pose["headDown"], pose["headLean"])
        for k, name in enumerate(("neck01", "neck02", "neck03"), 1):
            turns[name] = trunk @ turned(*(0.2 * k * pose[angle] for angle in ("headTurn", "headDown", "headLean")))
        turns["head"] = head
        for side in SIDES:
            for name, turn in self._arm(side, pose).items():
                turns[f"{name}.{side[0]}"] = trunk @ (turn if side == "Left" else MIRROR @ turn @ MIRROR)
        root, legs = self._legs(pelvis, pose)
        turns |= legs
        out = np.zeros((len(self.names), 3, 4))
        place = np.zeros((len(self.names), 3))
        for i, (name, parent) in enumerate(zip(self.names, self.parents)):
            turn = turns.get(name, out[parent, :, :3])
            place[i] = (
                root if parent < 0 else place[parent] + out[parent, :, :3] @ (self.bones[i] - self.bones[parent])
            )
            out[i, :, :3], out[i, :, 3] = turn, place[i] - turn @ self.bones[i]
        return out

    def _left(self, name: str, side: str) -> np.ndarray:
        """Head of a bone at rest, as if it were of the left side."""
        head = self.at(f"{name}.{side[0]}")
        return head if side == "Left" else MIRROR @ head

    def _arm(self, side: str, pose: dict[str, float]) -> dict[str, np.ndarray]:
        """Rotations of a left arm's bones against the trunk."""
        forward, aside, twist, bend, palm, wrist, fist, shrug = (pose[name + side] for name in ARM)
        shoulder, elbow, hand = (self._left(name, side) for name in ("upperarm01", "lowerarm01", "wrist"))
        upper, fore = elbow - shoulder, hand - elbow
        # From hanging, about the level axis that is square to where the arm is raised to.
        swing = about(np.array([-forward, -aside, 0.0]), np.hypot(forward, aside))
        u, ahead, out = swing @ np.array([0.0, 0, -1]), swing @ np.array([0.0, -1, 0]), swing @ np.array([1.0, 0, 0])
        cosine, sine = np.cos(np.radians(twist)), np.sin(np.radians(twist))
        w = cosine * ahead + sine * out
        f = np.cos(np.radians(bend)) * u + np.sin(np.radians(bend)) * w
        n = np.cross(u, w)
        rest = frame(upper, fore)
        whole = np.column_stack([u, w, n]) @ rest.T
        # The skin near the shoulder turns half as much about the arm: a twisted sleeve would look wrung.
        near = about(u, -0.4 * twist) @ whole
        lower = frame(f, n) @ frame(fore, rest[:, 2]).T
        raised = np.degrees(np.arccos(np.clip(-u[2], -1, 1)))
        lift = 0.3 * np.clip(raised - 50, 0, 120) * (0.4 + 0.6 * np.abs(u[0])) + shrug
        girdle = about(np.array([0.0, -1, 0]), lift) @ about(
            np.array([0.0, 0, 1]), -0.12 * max(forward, 0) * np.sin(np.radians(raised))
        )
        hand_turn = about(f, palm) @ lower
        across = np.cross(f, about(f, palm) @ n)
        hand_turn = about(across, wrist) @ hand_turn
        turns = {
            "clavicle": girdle, "shoulder01": girdle, "upperarm01": near, "upperarm02": whole, "lowerarm01": lower,
            "lowerarm02": about(f, 0.6 * palm) @ lower, "wrist": hand_turn,
        }  # fmt: skip
        knuckles = [self._left(f"finger{k}-1", side) for k in (2, 5)]
        curl = hand_turn @ (
            knuckles[0] - knuckles[1]
        )  # fingers bend about the line of their knuckles, towards the palm
        for finger in range(1, 6):
            for joint in (1, 2, 3):
                amount = fist * (joint * 0.8 if finger > 1 else joint * 0.3)
                turns[f"finger{finger}-{joint}"] = about(curl, -amount) @ hand_turn
        return turns

    def _legs(self, pelvis: np.ndarray, pose: dict[str, float]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Where the root is, and the rotations of both legs: two bones that reach for the ankle's place (law of cosines)."""
        root, unit = self.at("root"), self.leg
        ankles = {}
        for side in SIDES:
            sign = 1.0 if side == "Left" else -1.0
            height = self.at(f"foot.{side[0]}")[2] - self.ground
            ankles[side] = np.array([
                sign * (0.85 * self.hips[0] + unit * pose["footOut" + side]), self.hips[1] + 0.03 * unit - unit * pose["footForward" + side],
                height + unit * (pose["footUp" + side] + pose["jump"]) + 0.11 * unit * np.sin(np.radians(max(-pose["toeUp" + side], 0))),
            ])  # fmt: skip
        hips = {side: pelvis @ (self.at(f"upperleg01.{side[0]}") - root) for side in SIDES}
        place = np.array([pose["hipsOut"] * unit, root[1] - pose["hipsForward"] * unit, 0.0])
        highest = []
        for side in SIDES:
            off = ankles[side][:2] - (place + hips[side])[:2]
            reach = np.sqrt(max((STRAIGHT * unit) ** 2 - off @ off, 0.0))
            highest.append(
                ankles[side][2] + reach - hips[side][2] + 1.5 * unit * pose["footUp" + side]
            )  # a lifted foot holds nothing down
        place[2] = min(highest) - unit * pose["hipsDown"]
        turns = {}
        for side in SIDES:
            thigh, shank = (
                self.at(f"{b}.{side[0]}") - self.at(f"{a}.{side[0]}")
                for a, b in (("upperleg01", "lowerleg01"), ("lowerleg01", "foot"))
            )
            a, b = np.linalg.norm(thigh), np.linalg.norm(shank)
            line = ankles[side] - (place + hips[side])
            c = np.clip(np.linalg.norm(line), abs(a - b) + 0.05, STRAIGHT * (a + b))
            line = line / np.linalg.norm(line)
            sign = 1.0 if side == "Left" else -1.0
            turn = turned(sign * pose["footTurn" + side] + 0.5 * pose["hipTurn"], 0, 0)
            pole = turn @ np.array(
                [sign * 0.12, -1.0, 0.25]
            )  # a knee bends forwards, over the foot; up where the leg is level
            pole = frame(line, pole)[:, 1]
            angle = np.arccos(np.clip((a * a + c * c - b * b) / (2 * a * c), -1, 1))
            upper = np.cos(angle) * line + np.sin(angle) * pole
            lower = c * line - a * upper
            hinge = np.cross(pole, line)
            x = np.array([1.0, 0, 0])
            letter = side[0]
            turns[f"upperleg01.{letter}"] = frame(upper, hinge) @ frame(thigh, x).T
            turns[f"upperleg02.{letter}"] = turns[f"upperleg01.{letter}"]
            turns[f"lowerleg01.{letter}"] = frame(lower, hinge) @ frame(shank, x).T
            turns[f"lowerleg02.{letter}"] = turns[f"lowerleg01.{letter}"]
            foot = turn @ turned(0, -pose["toeUp" + side], 0)
            turns[f"foot.{letter}"] = foot
            ball = (
                turn @ turned(0, -0.35 * pose["toeUp" + side], 0)
                if pose["toeUp" + side] < 0 and pose["footUp" + side] < 0.03
                else foot
            )
            for toe in range(1, 6):
                turns[f"toe{toe}-1.{letter}"] = ball
        return place, turns
