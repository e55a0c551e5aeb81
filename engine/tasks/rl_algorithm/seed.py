"""GRPO (DeepSeekMath): rewards normalised within the answers to a prompt, a clipped ratio, a penalty on leaving the
reference policy, the mean over each answer's tokens and then over the answers."""

import torch

CLIP = 0.2  # tune: scale 0.05..0.8
BETA = 0.04  # tune: scale 0.002..0.4
EPSILON = 1e-4  # tune: tolerance 1e-6..1e-1


def baseline(rewards):
    """What a reward is compared with: the mean of the answers to the same prompt."""
    return rewards.mean(1, keepdim=True)


def spread(rewards):
    """What differences are divided by: the standard deviation of the answers to the same prompt."""
    return rewards.std(1, keepdim=True) + EPSILON


def normalise(rewards):
    """Rewards [P, G] as scores [P, G] that say how much better or worse than expected an answer is."""
    return (rewards - baseline(rewards)) / spread(rewards)


def reshape(scores, progress):
    """Change the scores further: nothing is done."""
    return scores


def credit(scores, mask, logp_old):
    """Scores of answers [P, G] handed down to their tokens [P, G, T]: the same to each."""
    return scores[..., None] * mask


def advantages(rewards, mask, logp_old, progress):
    """Advantages [P, G, T]."""
    return credit(reshape(normalise(rewards), progress), mask, logp_old)


def importance(logp, logp_old, mask):
    """How much likelier a token has become since it was sampled: [P, G, T]."""
    return torch.exp(logp - logp_old)


def surrogate(change, advantage, progress):
    """What is to be made large, for each token: PPO's clipped objective."""
    clipped = torch.clamp(change, 1 - CLIP, 1 + CLIP)
    return torch.minimum(change * advantage, clipped * advantage)


def penalty(logp, logp_ref, progress):
    """What leaving the reference policy costs, for each token: the estimator k3 of the divergence."""
    difference = logp_ref - logp
    return BETA * (torch.exp(difference) - difference - 1)


def exploration(entropy, progress):
    """What uncertainty is worth, for each token: nothing."""
    return torch.zeros_like(entropy)


def average(values, mask):
    """One number from the tokens' values: the mean over each answer, then over the answers."""
    return ((values * mask).sum(-1) / mask.sum(-1)).mean()


def policy_loss(logp, logp_old, logp_ref, advantages, mask, entropy, progress):
    """The loss, a scalar."""
    gain = surrogate(importance(logp, logp_old, mask), advantages, progress)
    gain = gain - penalty(logp, logp_ref, progress) + exploration(entropy, progress)
    return -average(gain, mask)
