"""What <TAB> offers for presets and settings; the modules that know them are light, and imported when asked."""


def complete_preset(incomplete: str) -> list[str]:
    """Return the presets whose names begin so."""
    from vtdl_cli.settings import preset_names

    return [name for name in preset_names() if name.startswith(incomplete)]


def complete_setting(incomplete: str) -> list[str]:
    """Return the settings whose keys begin so, each with `=`; after that, the values to choose from, if there are."""
    from vtdl_cli.setting_keys import setting_choices

    key, equals, value = incomplete.partition("=")
    settings = setting_choices()
    if equals:
        return [f"{key}={choice}" for choice in settings.get(key, ()) if choice.startswith(value)]
    return [f"{each}=" for each in settings if each.startswith(key)]
