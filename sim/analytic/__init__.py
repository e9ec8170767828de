"""Queueing formulas, and what they say of a scenario before anything runs."""

from sim.analytic.offices import OfficePrediction, RoleLoad, predict_offices
from sim.analytic.prediction import (
    EndpointPrediction,
    JobBalance,
    Prediction,
    StationLoad,
)
from sim.analytic.predictor import predict

__all__ = [
    "EndpointPrediction",
    "JobBalance",
    "OfficePrediction",
    "Prediction",
    "RoleLoad",
    "StationLoad",
    "predict",
    "predict_offices",
]
