"""What <TAB> offers for presets and settings, and how bash and zsh ask for it.

The modules that know presets and settings are light, and imported when asked.
"""

BASH = """
%(complete_func)s() {
    local IFS=$'\\n' line=${COMP_LINE:0:COMP_POINT} typed prefix= breaks=${COMP_WORDBREAKS//[^=:]/}
    COMPREPLY=( $(env _TYPER_COMPLETE_ARGS="$line" _TYPER_COMPLETE_FISH_ACTION=get-args \\
        %(autocomplete_var)s=complete_fish "$1" | cut -f 1) )
    # bash takes what follows = or : for a word of its own, and replaces that alone
    typed=${line##*[[:space:]]}
    [[ $breaks && $typed != [\\'\\"]* ]] && prefix=${typed%%"${typed##*[$breaks]}"}
    COMPREPLY=( "${COMPREPLY[@]#"$prefix"}" )
    [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace
    return 0
}

complete -o default -F %(complete_func)s %(prog_name)s
"""

ZSH = """
#compdef %(prog_name)s

%(complete_func)s() {
  local -a offered=( ${(f)"$(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _TYPER_COMPLETE_FISH_ACTION=get-args \\
    %(autocomplete_var)s=complete_fish %(prog_name)s)"} )
  if (( ! $#offered )); then
    _files
  elif [[ $offered[1] == *= ]]; then
    compadd -S '' -- $offered
  else
    offered=( "${offered[@]//:/\\\\:}" )
    offered=( "${offered[@]/$'\\t'/:}" )
    _describe 'vtdl' offered
  fi
}

compdef %(complete_func)s %(prog_name)s
"""


def use_own_scripts() -> None:
    """Have `--install-completion` and `--show-completion` write the scripts above.

    Typer's own add a blank after `key=`, and bash's asks with words that bash has split at `=`. Ours ask as fish does,
    with the line as it was typed; fish itself adds no blank after `=`.
    """
    try:
        from typer._completion_shared import _completion_scripts
    except ImportError:  # a later Typer: its scripts work, but for the blank
        return
    _completion_scripts.update(bash=BASH, zsh=ZSH)


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
