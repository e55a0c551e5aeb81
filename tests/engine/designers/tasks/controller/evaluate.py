import runpy


def evaluate(program_path):
    control = runpy.run_path(program_path)["control"]
    cost = 0.0
    for target, drag in ((1.0, 0.1), (-2.0, 0.2), (0.5, 0.02)):
        place = speed = 0.0
        errors, inputs = [], [0.0, 0.0]
        for _ in range(120):
            errors.append(target - place)
            inputs.append(control(errors))
            speed += 0.2 * (inputs[-3] - drag) - 0.15 * speed
            place += 0.2 * speed
            cost += abs(errors[-1]) + 0.02 * inputs[-1] ** 2
    return {"cost": cost / 360}
