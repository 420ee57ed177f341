/**
 * Completion scripts, made from the commands themselves. Pure.
 * @module
 */
import type { Command } from 'commander';
import { BzzzError } from '../../base/errors.ts';

/** Words that may follow a path of commands such as `key create`. */
function wordsByPath(program: Command): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const shared = program.options.map((o) => o.long ?? '');
  const visit = (command: Command, path: string): void => {
    const below = program.createHelp().visibleCommands(command);
    const options = command === program ? [] : command.options.map((o) => o.long ?? '');
    found.set(
      path,
      [...below.map((c) => c.name()), ...options, ...shared].filter((w) => w !== ''),
    );
    for (const child of below) {
      if (child.name() !== 'help') visit(child, `${path} ${child.name()}`.trim());
    }
  };
  visit(program, '');
  return found;
}

function bashScript(program: Command): string {
  const cases = [...wordsByPath(program)].map(
    ([path, words]) => `    "${path}") words="${words.join(' ')}" ;;`,
  );
  return `_bzzz() {
  local path="" words="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  while :; do
    case $path in
${cases.join('\n')}
    *) path="\${path% *}"; continue ;;
    esac
    break
  done
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _bzzz bzzz
`;
}

function fishScript(program: Command): string {
  const lines = [...wordsByPath(program)].map(([path, words]) => {
    const condition =
      path === ''
        ? '__fish_use_subcommand'
        : path
            .split(' ')
            .map((word) => `__fish_seen_subcommand_from ${word}`)
            .join('; and ');
    return `complete -c bzzz -n '${condition}' -a '${words.join(' ')}'`;
  });
  return `${lines.join('\n')}\n`;
}

/** The script for `shell`. @throws BAD_USAGE for another than bash, zsh or fish. */
export function completionScript(program: Command, shell: string): string {
  if (shell === 'bash') return bashScript(program);
  if (shell === 'zsh') return `autoload -U +X bashcompinit && bashcompinit\n${bashScript(program)}`;
  if (shell === 'fish') return fishScript(program);
  throw new BzzzError('BAD_USAGE', `no completion for ${shell}`, { hint: 'bash, zsh or fish' });
}
