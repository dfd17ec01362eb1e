import pytest

from detect.commands import doctor


def test_a_sound_install_passes() -> None:
    checks = {check.name: check for check in doctor.detector_checks()}
    assert all(check.ok for check in checks.values())
    assert checks["operators of MMCV"].detail in ("torchvision operators", "compiled mmcv._ext")


def test_two_distributions_of_one_import_name_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed", lambda package: "1.0")
    bad = [check.name for check in doctor.detector_checks() if not check.ok]
    assert "mmengine and onedl-mmengine" in bad and "opencv-python and opencv-python-headless" in bad


def test_a_missing_package_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed", lambda package: None)
    missing = [check for check in doctor.detector_checks() if not check.ok]
    assert [check.name for check in missing] == list(doctor.PINS)
    assert all("make setup" in check.detail for check in missing)
