"""Write a sampler: a function that returns a table of coefficients. The library's loop runs it."""

import numpy as np

import ddpm_rt


def renoising(schedule, timesteps, share, prediction):
    """DDIM that replaces `share` of the predicted noise by fresh noise: eta 0 for share 0, any amount above.

    x_next = sqrt(b) x0 + sqrt(1 - b) (sqrt(1 - share) eps + sqrt(share) z), with a and b the alpha_bar at the row's
    timestep and at the next one, and eps = (x - sqrt(a) x0) / sqrt(1 - a).
    """
    a = schedule.alpha_bar[timesteps]
    b = np.append(a[1:], 1.0)
    eps = np.sqrt((1 - share) * (1 - b) / (1 - a))
    base = ddpm_rt.ddim(schedule, timesteps, prediction=prediction)  # for x0_from_x and x0_from_out
    return base._replace(
        mean_from_x0=np.sqrt(b) - eps * np.sqrt(a),
        mean_from_x=eps,
        mean_from_out=np.zeros_like(a),
        sigma=np.sqrt(share * (1 - b)),
    )


with ddpm_rt.open_denoiser() as engine:
    card, labels = engine.card, np.arange(4)

    def network(x, t):  # the bundled model is class-conditional: it also takes labels
        return engine(x, t, labels)

    for share in (0.0, 0.3):
        table = renoising(card.schedule, ddpm_rt.timesteps(len(card.betas), 20), share, card.prediction)
        for step in ddpm_rt.trajectory(network, table, card.image_shape, seed=7, samples=range(4), clip=card.clip):
            images = step.x
        ddim = ddpm_rt.sample(engine, seed=7, count=4, steps=20)
        print(f"share {share}: differs from ddim by {np.abs(images - ddim).mean():.4f} on average")
