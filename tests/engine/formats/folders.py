"""Small folders in the formats of other systems, and what it takes to evaluate one."""

from __future__ import annotations

from pathlib import Path

from engine.evaluation.evaluator import Evaluation, Job, Outcome
from engine.task.spec import Task

OPENEVOLVE = {
    "initial_program.py": (
        '"""Search for a point."""\n# EVOLVE-BLOCK-START\nX = 0.5\n\n\ndef search():\n    return X\n'
        "# EVOLVE-BLOCK-END\n\n\ndef run_search():\n    return search()\n"
    ),
    "evaluator.py": (
        "import importlib.util\nfrom helper import TARGET\n"
        "from openevolve.evaluation_result import EvaluationResult\n\n\n"
        "def load(path):\n    spec = importlib.util.spec_from_file_location('candidate', path)\n"
        "    module = importlib.util.module_from_spec(spec)\n    spec.loader.exec_module(module)\n"
        "    return module\n\n\n"
        "def evaluate(program_path, config=None):\n    assert config is None\n"
        "    x = load(program_path).run_search()\n"
        "    metrics = {'combined_score': -abs(x - TARGET), 'nested': {'x': x}}\n"
        "    return EvaluationResult(metrics=metrics, artifacts={'hint': f'x is {x}'})\n"
    ),
    "helper.py": "TARGET = 1.0\n",
    "config.yaml": (
        "max_iterations: 40\nrandom_seed: 3\nprompt:\n  system_message: |\n    Find the point.\n  num_top_programs: 2\n"
        "evaluator:\n  timeout: 20\n  cascade_evaluation: false\n"
        "database:\n  num_islands: 3\n  feature_dimensions: [score, complexity]\nllm:\n  api_base: http://localhost:1\n"
    ),
}

SHINKA = {
    "initial.py": (
        "# EVOLVE-BLOCK-START\nA = 0.25\n\n\ndef guess(seed):\n    return A * seed\n# EVOLVE-BLOCK-END\n\n\n"
        "def run_experiment(seed):\n    return guess(seed)\n"
    ),
    "evaluate.py": (
        "import argparse\nfrom shinka.core import run_shinka_eval\n\n\n"
        "def validate(result):\n    return abs(result) < 10, 'too large'\n\n\n"
        "def aggregate(results):\n    return {'combined_score': -abs(sum(results) - 1), 'public': {'runs': len(results)},\n"
        "            'private': {'secret': 0.7}, 'text_feedback': 'go up'}\n\n\n"
        "def main(program_path, results_dir, extra):\n"
        "    run_shinka_eval(program_path=program_path, results_dir=results_dir, num_runs=int(extra),\n"
        "                    experiment_fn_name='run_experiment', validate_fn=validate, aggregate_metrics_fn=aggregate)\n\n\n"
        "if __name__ == '__main__':\n    parser = argparse.ArgumentParser()\n"
        "    for name in ('--program_path', '--results_dir', '--runs'):\n        parser.add_argument(name)\n"
        "    given = parser.parse_args()\n    main(given.program_path, given.results_dir, given.runs)\n"
        "    raise SystemExit(3)  # the exit code says nothing\n"
    ),
    "run_evo.py": (
        "import shinka\n\nsearch_task_sys_msg = '''Find the number.'''\n"
        "job = LocalJobConfig(eval_program_path='evaluate.py', time='00:00:30', extra_cmd_args={'runs': 2})\n"
        "db = DatabaseConfig(num_islands=2, archive_size=20, num_archive_inspirations=2, num_top_k_inspirations=1)\n"
        "evo = EvolutionConfig(task_sys_msg=search_task_sys_msg, patch_types=['diff', 'full', 'cross'],\n"
        "    patch_type_probs=[0.6, 0.3, 0.1], num_generations=10, llm_models=['a model'], use_text_feedback=True)\n"
    ),
}

ASI_EVOLVE = {
    "input.md": "Write a number.\n",
    "initial_program": "VALUE = 2.5\n\n\ndef answer():\n    return VALUE\n",
    "eval.sh": (
        '#!/bin/bash\ncase "$(pwd)" in */steps/step_*) ;; *) exit 3;; esac\n'
        'root=$(cd "$(dirname "$0")" && pwd)\npython3 "$root/evaluator.py" code results.json\n'
    ),
    "evaluator.py": (
        "import json, sys\n\n\ndef evaluate(path):\n    space = {}\n    exec(open(path).read(), space)\n"
        "    value = space['answer']()\n"
        "    return {'success': True, 'eval_score': -abs(value - 3), 'value': value, 'temp': {'note': 'closer to 3'}}\n\n\n"
        "with open(sys.argv[2], 'w') as file:\n    json.dump(evaluate(sys.argv[1]), file)\n"
    ),
    "config.yaml": (
        "pipeline:\n  engineer_timeout: 60\n  sample_n: 3\n  researcher:\n    diff_based_evolution: true\n"
        "database:\n  sampling:\n    algorithm: greedy\n"
    ),
}


def write_folder(folder: Path, files: dict[str, str], **changed: str | None) -> Path:
    """Write the files; those in `changed` (dots as `__`) replace them, None leaves one out."""
    other = {name.replace("__", "."): text for name, text in changed.items()}
    for name, text in {**files, **other}.items():
        if text is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return folder


async def evaluate(task: Task, work: Path, program: str | None = None) -> Outcome:
    """Evaluate a program, by default the seed, as a run would."""
    spec = task.spec
    job = Job(
        program=task.seeds[0].code if program is None else program,
        task_folder=task.folder,
        folder=work / "evaluation",
        metric=spec.metric,
        guarded=spec.guarded,
        gpu=False,
        trusted=spec.unconfined,
        containers=spec.evaluator == "container",
        python=spec.python,
        mounts=[],
        stage="explore",
        repeat=0,
        seed=1,
        settings=spec.settings,
        limits=spec.limits,
        threads=1,
    )
    evaluation = await Evaluation.start(job, lambda step, values: None)
    outcome = await evaluation.outcome()
    await evaluation.acknowledge()
    return outcome
