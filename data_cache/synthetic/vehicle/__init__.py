"""The 3-D model of one vehicle: body shell, painted skins, wheels, fittings and cabin, with numbered parts."""
