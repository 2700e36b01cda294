"""FastFeast's cities, restaurants, customers, drivers and agents: every value follows from seed, table and id."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.faults import Columns
from scripts.lookups import CATEGORIES, REGION_COUNT, TEAMS

Ids = npt.NDArray[np.int64]
Times = npt.NDArray[np.datetime64]

SIZES = {"customers": 400, "restaurants": 60, "drivers": 80, "agents": 24}  # at scale 1
SHARE_OF_CHANGES = 0.3  # of all people and restaurants, within so many days from the first batch
DAYS_OF_CHANGES = 10
NEVER = 1_000_000_000

_MALE = ("Ahmed", "Mohamed", "Mahmoud", "Omar", "Youssef", "Karim", "Hassan", "Tarek", "Sherif", "Khaled")
_FEMALE = ("Mona", "Nour", "Salma", "Yasmin", "Heba", "Aya", "Mariam", "Dina", "Rania", "Fatma")
_FAMILY = (
    "Hassan", "Ibrahim", "Mostafa", "El Sayed", "Abdallah", "Fathy", "Saleh", "Mansour", "Gaber", "Farouk",
    "Shawky", "Naguib", "Zaki", "Hamdy", "Ramadan",
)  # fmt: skip
_MAIL = ("gmail.com", "yahoo.com", "hotmail.com", "outlook.com", "cairo-mail.com")
_PREFIXES = (1_000_000_000, 1_100_000_000, 1_200_000_000, 1_500_000_000)


class Dice:
    """Random-looking values that depend on nothing but seed, name, column and row id."""

    def __init__(self, seed: int, name: str, ids: Ids) -> None:
        self._salt = f"{seed}/{name}"
        self._ids = ids.astype(np.uint64)

    def uniform(self, column: str) -> npt.NDArray[np.float64]:
        """Numbers in [0, 1), by the finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
        digest = hashlib.blake2b(f"{self._salt}/{column}".encode(), digest_size=8).digest()
        bits = self._ids * np.uint64(0x9E3779B97F4A7C15) + np.frombuffer(digest, dtype="<u8")
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits ^= bits >> np.uint64(31)
        uniform: npt.NDArray[np.float64] = (bits >> np.uint64(11)) * 2.0**-53
        return uniform

    def whole(self, column: str, low: int, high: int) -> Ids:
        """Whole numbers from `low` to `high`, both included."""
        return low + (self.uniform(column) * (high - low + 1)).astype(np.int64)

    def real(self, column: str, low: float, high: float, digits: int) -> npt.NDArray[np.float64]:
        values: npt.NDArray[np.float64] = (low + self.uniform(column) * (high - low)).round(digits)
        return values

    def pick(self, column: str, options: Sequence[Any]) -> npt.NDArray[np.object_]:
        return np.array(options, dtype=object)[self.whole(column, 0, len(options) - 1)]

    def chance(self, column: str, share: float) -> npt.NDArray[np.bool_]:
        """True for about `share` of the rows."""
        chosen: npt.NDArray[np.bool_] = self.uniform(column) < share
        return chosen

    def times(self, column: str, first: str, days: int) -> Times:
        """Times within `days` days from the date `first`, in seconds."""
        return np.datetime64(first, "s") + self.whole(column, 0, days * 86_400 - 1).astype("timedelta64[s]")


def stamps(times: Times, unit: str = "s", separator: str = " ") -> npt.NDArray[np.object_]:
    """ISO 8601 texts; nan where a time is missing, as pandas would have it."""
    texts = np.datetime_as_string(times.astype(f"datetime64[{unit}]")).astype(object)
    if separator != "T":
        texts = np.array([text.replace("T", separator) for text in texts], dtype=object)
    texts[np.isnat(times)] = float("nan")
    return texts


def customers(seed: int, ids: Ids) -> Columns:
    dice = Dice(seed, "customers", ids)
    gender = dice.pick("gender", ("male", "female"))
    names = _names(dice, gender)
    created = dice.times("created_at", "2022-01-01", 1100)
    return {
        "customer_id": ids,
        "full_name": names,
        "email": _mails(names, ids, dice.pick("mail", _MAIL)),
        "phone": _phones(dice),
        "region_id": region_of_customer(seed, ids),
        "segment_id": np.where(dice.chance("segment_id", 0.15), 2, 1),
        "signup_date": stamps(created, "D"),
        "gender": gender,
        "created_at": stamps(created),
        "updated_at": stamps(created + dice.whole("age", 0, 8_640_000).astype("timedelta64[s]")),
    }


def region_of_customer(seed: int, ids: Ids, days: int = -1) -> Ids:
    """Where customers live so many days after the first batch; before it by default."""
    first = Dice(seed, "customers", ids).whole("region_id", 1, REGION_COUNT)
    moves = Dice(seed, "customers/moves", ids).whole("by", 1, REGION_COUNT - 1)
    moved: Ids = (first - 1 + np.where(change_days(seed, "customers", ids) <= days, moves, 0)) % REGION_COUNT + 1
    return moved


def restaurants(seed: int, ids: Ids) -> Columns:
    dice = Dice(seed, "restaurants", ids)
    category = dice.whole("category_id", 1, len(CATEGORIES))
    family = dice.pick("family", _FAMILY)
    created = dice.times("created_at", "2021-06-01", 1200)
    return {
        "restaurant_id": ids,
        "restaurant_name": _objects([f"{CATEGORIES[c - 1]} {f}" for c, f in zip(category, family, strict=True)]),
        "region_id": dice.whole("region_id", 1, REGION_COUNT),
        "category_id": category,
        "price_tier": dice.pick("price_tier", ("Low", "Mid", "High")),
        "rating_avg": dice.real("rating_avg", 2.5, 5.0, 1),
        "prep_time_avg_min": dice.whole("prep_time_avg_min", 8, 45),
        "is_active": dice.chance("is_active", 0.93),
        "created_at": stamps(created),
        "updated_at": stamps(created + np.timedelta64(90, "D")),
    }


def drivers(seed: int, ids: Ids) -> Columns:
    dice = Dice(seed, "drivers", ids)
    hired = dice.times("hire_date", "2021-06-01", 1300)
    born = dice.times("born", "1975-01-01", 10_000)
    serial = dice.whole("national_id", 0, 99_999_999)
    return {
        "driver_id": ids,
        "driver_name": _names(dice, np.full(len(ids), "male", dtype=object)),
        "driver_phone": _objects([f"0{number}" for number in _phones(dice)]),
        "national_id": _objects(
            [f"2{day.replace('-', '')[2:]}{n:08d}" for day, n in zip(stamps(born, "D"), serial, strict=True)]
        ),
        "region_id": dice.whole("region_id", 1, REGION_COUNT),
        "shift": dice.pick("shift", ("morning", "evening", "night")),
        "vehicle_type": dice.pick("vehicle_type", ("motorbike", "motorbike", "bicycle", "scooter", "car")),
        "hire_date": stamps(hired, "D"),
        "rating_avg": dice.real("rating_avg", 3.0, 5.0, 2),
        "on_time_rate": dice.real("on_time_rate", 0.6, 1.0, 3),
        "cancel_rate": dice.real("cancel_rate", 0.0, 0.15, 3),
        "completed_deliveries": dice.whole("completed_deliveries", 0, 6000),
        "is_active": dice.chance("is_active", 0.95),
        "created_at": stamps(hired),
        "updated_at": stamps(hired + np.timedelta64(60, "D")),
    }


def agents(seed: int, ids: Ids) -> Columns:
    dice = Dice(seed, "agents", ids)
    names = _names(dice, dice.pick("gender", ("male", "female")))
    hired = dice.times("hire_date", "2021-06-01", 1300)
    return {
        "agent_id": ids,
        "agent_name": names,
        "agent_email": _mails(names, ids, np.full(len(ids), "fastfeast.com", dtype=object)),
        "agent_phone": _phones(dice),
        "team_id": dice.whole("team_id", 1, len(TEAMS)),
        "skill_level": dice.pick("skill_level", ("Junior", "Mid", "Senior", "Lead")),
        "hire_date": stamps(hired, "D"),
        "avg_handle_time_min": dice.whole("avg_handle_time_min", 4, 40),
        "resolution_rate": dice.real("resolution_rate", 0.5, 1.0, 3),
        "csat_score": dice.real("csat_score", 2.5, 5.0, 2),
        "is_active": dice.chance("is_active", 0.95),
        "created_at": stamps(hired),
        "updated_at": stamps(hired + np.timedelta64(30, "D")),
    }


PEOPLE: dict[str, Callable[[int, Ids], Columns]] = {
    "customers": customers,
    "restaurants": restaurants,
    "drivers": drivers,
    "agents": agents,
}


def change_days(seed: int, table: str, ids: Ids) -> Ids:
    """How many days after the first batch a row changes; NEVER for most."""
    dice = Dice(seed, f"{table}/changes", ids)
    return np.where(dice.chance("changes", SHARE_OF_CHANGES), dice.whole("day", 0, DAYS_OF_CHANGES - 1), NEVER)


def drift(table: str, columns: Columns, seed: int, first: dt.date, day: dt.date) -> Columns:
    """The rows as of `day`, where batches began with `first`: customers move, others are rated otherwise."""
    ids = next(iter(columns.values()))
    days = change_days(seed, table, ids)
    changed = days <= (day - first).days
    moments = np.datetime64(first, "s") + np.where(changed, days, 0).astype("timedelta64[D]")
    columns = {**columns, "updated_at": np.where(changed, stamps(moments), columns["updated_at"]).astype(object)}
    dice = Dice(seed, f"{table}/changes", ids)
    if table == "customers":
        columns["region_id"] = region_of_customer(seed, ids, (day - first).days)
        return columns
    rated = "csat_score" if table == "agents" else "rating_avg"
    moved = (columns[rated] + dice.real("moved", -0.3, 0.3, 2)).clip(0, 5).round(2)
    columns[rated] = np.where(changed, moved, columns[rated])
    if table == "drivers":
        columns["completed_deliveries"] = columns["completed_deliveries"] + changed * dice.whole("done", 1, 20)
    return columns


def _names(dice: Dice, gender: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    first = np.where(gender == "male", dice.pick("first_m", _MALE), dice.pick("first_f", _FEMALE))
    names: npt.NDArray[np.object_] = first + " " + dice.pick("family", _FAMILY)
    return names


def _mails(names: npt.NDArray[np.object_], ids: Ids, domains: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    return _objects(
        [
            f"{name.lower().replace(' ', '.')}{i}@{domain}"
            for name, i, domain in zip(names, ids, domains, strict=True)
        ]
    )


def _phones(dice: Dice) -> Ids:
    """Mobile numbers as numbers, so without their leading zero."""
    phones: Ids = dice.pick("prefix", _PREFIXES).astype(np.int64) + dice.whole("phone", 0, 99_999_999)
    return phones


def _objects(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    return np.array(values, dtype=object)
